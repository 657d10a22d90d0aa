"""Thumbnails and face crops: made from the photos under the media roots, cached on disk."""

import asyncio
import contextlib
import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from PIL import Image

from triptych_common.media.decoded import Decode
from triptych_common.media.failures import ImageFailure, failure_from_os_error
from triptych_common.media.locations import MediaRoots
from triptych_common.media.scaling import Resolution
from triptych_common.media.stores import OpenedFile
from triptych_gateway.api.picture_cache import PictureCache
from triptych_gateway.catalog.library.photos import Asset, FoundPhoto
from triptych_gateway.catalog.people.faces import Face

PICTURE_THREADS: Final = 2
"""Pictures that are made at once."""
CROP_PIXELS: Final = 160
"""Side of a face crop."""
CROP_MARGIN: Final = 0.35
"""Share of the box that a crop shows around it."""
_QUALITY: Final = 85
_MOST_SIDE_PIXELS: Final = 65_500
"""Of a JPEG, as libjpeg writes it."""

_SHOWN_BY_BROWSERS: Final = {
    "image/jpeg": (0, b"\xff\xd8\xff"),
    "image/png": (0, b"\x89PNG\r\n\x1a\n"),
    "image/gif": (0, b"GIF8"),
    "image/webp": (8, b"WEBP"),
    "image/avif": (4, b"ftypavif"),
}
"""Media type → where its files have which bytes."""


@dataclass(frozen=True, kw_only=True)
class Original:
    """A photo's own file, opened where it was found to lie under the media roots. Whoever has it closes it."""

    file: OpenedFile
    head: bytes
    """What was read of it."""
    media_type: str
    etag: str


class Pictures:
    """Makes and caches JPEG pictures. Each raises AwayError where the store of a photo is away. Close it when done."""

    def __init__(
        self, *, roots: MediaRoots, decode: Decode, cache: PictureCache, max_bytes: int, max_pixels: int
    ) -> None:
        self._roots = roots
        self._decode_content = decode
        self._cache = cache
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._pool = ThreadPoolExecutor(PICTURE_THREADS, thread_name_prefix="pictures")

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def thumbnail(self, asset: Asset | FoundPhoto, *, size_pixels: int) -> tuple[bytes, str]:
        """An upright JPEG whose longer side is at most that long, and its entity tag. Raises ImageFailure."""
        key = self._key("thumbnail", asset.path, asset.size_bytes, asset.modified_ns, size_pixels)
        return await self._cached(key, asset.path, lambda path: self._make_thumbnail(path, size_pixels))

    async def crop(self, face: Face) -> tuple[bytes, str]:
        """A square JPEG around a face, and its entity tag. Raises ImageFailure."""
        key = self._key("crop", face.id, face.path, face.x, face.y, face.width, face.height, CROP_PIXELS)
        return await self._cached(key, face.path, lambda path: self._make_crop(path, face))

    async def full(self, asset: Asset) -> Original | tuple[bytes, str]:
        """The photo at full size: its own file where every browser shows it, else an upright JPEG, with entity tag.

        Raises ImageFailure.
        """
        loop = asyncio.get_running_loop()
        original = await loop.run_in_executor(self._pool, self._open_original, asset.path)
        if original is not None:
            return original
        key = self._key("full", asset.path, asset.size_bytes, asset.modified_ns)
        return await self._cached(key, asset.path, self._make_full)

    @staticmethod
    def _key(*parts: object) -> str:
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    async def _cached(self, key: str, path: bytes, make: Callable[[bytes], bytes]) -> tuple[bytes, str]:
        loop = asyncio.get_running_loop()
        work = partial(self._read_or_make, key, path, make, times_emptied=self._cache.times_emptied)
        return await loop.run_in_executor(self._pool, work), f'"{key}"'

    def _read_or_make(self, key: str, path: bytes, make: Callable[[bytes], bytes], *, times_emptied: int) -> bytes:
        # Also before a picture that is there: it is shown no longer than its photo may be.
        if self._roots.resolve(path) is None:
            raise ImageFailure("path_not_allowed", "The photo lies outside the media roots.")
        content = self._cache.get(key)
        if content is None:
            content = make(path)
            self._cache.put(key, content, times_emptied=times_emptied)
        return content

    def _open_original(self, path: bytes) -> Original | None:
        """The photo's file where browsers show it, by its first bytes; else None."""
        try:
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(self._roots.open(path))
                head = file.content.read(16)
                for media_type, (offset, magic) in _SHOWN_BY_BROWSERS.items():
                    if head[offset : offset + len(magic)] == magic:
                        stack.pop_all()
                        # The file may be newer than what the catalogue knows of it.
                        tag = self._key("original", path, file.version)
                        return Original(file=file, head=head, media_type=media_type, etag=f'"{tag}"')
        except OSError as error:
            raise failure_from_os_error(error) from error
        return None

    def _make_thumbnail(self, path: bytes, size_pixels: int) -> bytes:
        return _jpeg(self._decode(path, Resolution(longest_side_pixels=size_pixels)))

    def _make_full(self, path: bytes) -> bytes:
        return _jpeg(self._decode(path, Resolution(longest_side_pixels=_MOST_SIDE_PIXELS)))

    def _make_crop(self, path: bytes, face: Face) -> bytes:
        # The face, not the photo, decides how far the photo may be shrunk while it is decoded.
        share = max(face.width, face.height, 0.01) * (1 + 2 * CROP_MARGIN)
        longest = int(min(CROP_PIXELS / share, 8192)) * 2
        picture = self._decode(path, Resolution(longest_side_pixels=longest))
        width, height = picture.size
        side = max(face.width * width, face.height * height) * (1 + 2 * CROP_MARGIN)
        centre_x, centre_y = (face.x + face.width / 2) * width, (face.y + face.height / 2) * height
        box = (centre_x - side / 2, centre_y - side / 2, centre_x + side / 2, centre_y + side / 2)
        square = picture.transform((CROP_PIXELS, CROP_PIXELS), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC)
        return _jpeg(square)

    def _decode(self, path: bytes, resolution: Resolution) -> Image.Image:
        try:
            content = self._roots.read(path, max_bytes=self._max_bytes)
        except OSError as error:
            raise failure_from_os_error(error) from error
        decoded = self._decode_content(content, resolution=resolution, max_pixels=self._max_pixels)
        return Image.fromarray(decoded.pixels)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
