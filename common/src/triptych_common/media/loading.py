"""Photos from URIs or bytes to arrays."""

import time
from dataclasses import dataclass

from structlog.contextvars import bound_contextvars

from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.media.decoded import Decode, DecodedImage
from triptych_common.media.failures import ImageFailure, failure_from_os_error
from triptych_common.media.locations import MediaRoots
from triptych_common.media.scaling import Resolution
from triptych_common.media.stores import check_size

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ImageReference:
    """A photo to load: exactly one of ``uri`` and ``content``."""

    item_id: int
    """The caller's own number for it."""
    uri: str | None = None
    content: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class LoadedImage:
    """What loading a photo came to."""

    item_id: int
    image: DecodedImage | ImageFailure | AwayError
    """AwayError where the place that it is read from is away, which says nothing about the photo."""
    seconds: float
    """Time spent reading and decoding."""


class ImageLoader:
    """Reads photos within limits and has them decoded, on the thread that asks for them; several may."""

    def __init__(
        self, *, roots: MediaRoots, decode: Decode, resolution: Resolution, max_bytes: int, max_pixels: int
    ) -> None:
        self._roots = roots
        self._decode = decode
        self._resolution = resolution
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels

    def load(self, reference: ImageReference) -> LoadedImage:
        """Load a photo. One that cannot be loaded carries its ImageFailure, or AwayError; nothing is raised."""
        began = time.perf_counter()
        image: DecodedImage | ImageFailure | AwayError
        try:
            content = self._read(reference)
            with bound_contextvars(item_id=reference.item_id):
                image = self._decode(content, resolution=self._resolution, max_pixels=self._max_pixels)
        except (ImageFailure, AwayError) as failure:
            image = failure
        except MemoryError:
            image = ImageFailure("too_large", "The picture does not fit into memory.")
        except Exception:  # decoders and file systems are others' code, and one photo must cost only itself
            log.exception("photo could not be loaded", item_id=reference.item_id)
            image = ImageFailure("read_failed", "Reading failed; the service's log has the details.", permanent=False)
        return LoadedImage(item_id=reference.item_id, image=image, seconds=time.perf_counter() - began)

    def _read(self, reference: ImageReference) -> bytes:
        if reference.content is not None:
            check_size(len(reference.content), self._max_bytes)
            return reference.content
        path = self._roots.check_uri(reference.uri or "")
        try:
            return self._roots.read(path, max_bytes=self._max_bytes)
        except OSError as error:
            raise failure_from_os_error(error) from error
