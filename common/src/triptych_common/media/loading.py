"""Photos from URIs or bytes to arrays."""

import os
import time
from dataclasses import dataclass

import fsspec

from triptych_common.logging import get_logger
from triptych_common.media.decoding import DecodedImage, decode_image
from triptych_common.media.failures import ImageFailure, failure_from_os_error
from triptych_common.media.locations import MediaRoots
from triptych_common.media.scaling import Resolution

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
    image: DecodedImage | ImageFailure
    seconds: float
    """Time spent reading and decoding."""


class ImageLoader:
    """Reads and decodes photos within limits, on the thread that asks for them; several may."""

    def __init__(self, *, roots: MediaRoots, resolution: Resolution, max_bytes: int, max_pixels: int) -> None:
        self._roots = roots
        self._resolution = resolution
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels

    def load(self, reference: ImageReference) -> LoadedImage:
        """Load a photo. One that cannot be loaded carries its ImageFailure; nothing is raised."""
        began = time.perf_counter()
        image: DecodedImage | ImageFailure
        try:
            content = self._read(reference)
            image = decode_image(content, resolution=self._resolution, max_pixels=self._max_pixels)
        except ImageFailure as failure:
            image = failure
        except MemoryError:
            image = ImageFailure("too_large", "The picture does not fit into memory.")
        except Exception:  # decoders and file systems are others' code, and one photo must cost only itself
            log.exception("photo could not be loaded", item_id=reference.item_id)
            image = ImageFailure("read_failed", "Reading failed; the service's log has the details.", permanent=False)
        return LoadedImage(item_id=reference.item_id, image=image, seconds=time.perf_counter() - began)

    def _read(self, reference: ImageReference) -> bytes:
        if reference.content is not None:
            self._check_size(len(reference.content))
            return reference.content
        uri = reference.uri or ""
        path = self._roots.check_uri(uri)
        try:
            return self._read_remote(uri) if path is None else self._read_local(path)
        except OSError as error:
            raise failure_from_os_error(error) from error

    def _read_local(self, path: bytes) -> bytes:
        with self._roots.open(path) as file:
            size = os.fstat(file.fileno()).st_size
            self._check_size(size)
            # No more memory than the file needs; one that grows, or whose size is not told, is read on.
            content = file.read(size + 1)
            if len(content) > size:
                content += file.read(self._max_bytes + 1 - len(content))
        self._check_size(len(content))
        return content

    def _read_remote(self, uri: str) -> bytes:
        with fsspec.open(uri, "rb") as file:
            content: bytes = file.read(self._max_bytes + 1)
        self._check_size(len(content))
        return content

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise ImageFailure("too_large", f"The file is larger than {self._max_bytes:,} bytes.")
