"""Thumbnails and face crops: made from the photos under the media roots, cached on disk."""

import asyncio
import hashlib
import io
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from PIL import Image

from triptych_common.logging import get_logger
from triptych_common.media.decoding import Resolution, decode_image
from triptych_common.media.failures import ImageFailure, failure_from_os_error
from triptych_common.media.locations import MediaRoots
from triptych_gateway.catalog.faces import Face
from triptych_gateway.catalog.photos import Asset

log = get_logger(__name__)

CROP_PIXELS: Final = 160
"""Side of a face crop."""
CROP_MARGIN: Final = 0.35
"""Share of the box that a crop shows around it."""
_QUALITY: Final = 85


class Pictures:
    """Makes and caches JPEG pictures. Close it when done."""

    def __init__(self, *, roots: MediaRoots, cache: Path, max_bytes: int, max_pixels: int) -> None:
        self._roots = roots
        self._cache = cache
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="pictures")

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def thumbnail(self, asset: Asset, *, size_pixels: int) -> tuple[bytes, str]:
        """An upright JPEG whose longer side is at most that long, and its entity tag. Raises ImageFailure."""
        key = self._key("thumbnail", asset.path, asset.size_bytes, asset.modified_ns, size_pixels)
        return await self._cached(key, lambda: self._make_thumbnail(asset.path, size_pixels))

    async def crop(self, face: Face) -> tuple[bytes, str]:
        """A square JPEG around a face, and its entity tag. Raises ImageFailure."""
        key = self._key("crop", face.path, face.x, face.y, face.width, face.height, CROP_PIXELS)
        return await self._cached(key, lambda: self._make_crop(face))

    @staticmethod
    def _key(*parts: object) -> str:
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    async def _cached(self, key: str, make: Callable[[], bytes]) -> tuple[bytes, str]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._read_or_make, key, make), f'"{key}"'

    def _read_or_make(self, key: str, make: Callable[[], bytes]) -> bytes:
        path = self._cache / key[:2] / f"{key}.jpg"
        try:
            return path.read_bytes()
        except OSError:
            # Not there, or not readable: it is made again.
            pass
        content = make()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{secrets.token_hex(4)}")
            aside.write_bytes(content)
            aside.replace(path)
        except OSError as error:
            log.warning("a picture could not be kept in the cache", path=str(path), error=str(error))
        return content

    def _make_thumbnail(self, path: bytes, size_pixels: int) -> bytes:
        return _jpeg(self._decode(path, Resolution(longest_side_pixels=size_pixels)))

    def _make_crop(self, face: Face) -> bytes:
        # The face, not the photo, decides how far the photo may be shrunk while it is decoded.
        share = max(face.width, face.height, 0.01) * (1 + 2 * CROP_MARGIN)
        longest = int(min(CROP_PIXELS / share, 8192)) * 2
        picture = self._decode(face.path, Resolution(longest_side_pixels=longest))
        width, height = picture.size
        side = max(face.width * width, face.height * height) * (1 + 2 * CROP_MARGIN)
        centre_x, centre_y = (face.x + face.width / 2) * width, (face.y + face.height / 2) * height
        box = (centre_x - side / 2, centre_y - side / 2, centre_x + side / 2, centre_y + side / 2)
        square = picture.transform((CROP_PIXELS, CROP_PIXELS), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC)
        return _jpeg(square)

    def _decode(self, path: bytes, resolution: Resolution) -> Image.Image:
        resolved = self._roots.resolve(path)
        if resolved is None:
            raise ImageFailure("path_not_allowed", "The photo lies outside the media roots.")
        try:
            with Path(os.fsdecode(resolved)).open("rb") as file:
                content = file.read(self._max_bytes + 1)
        except OSError as error:
            raise failure_from_os_error(error) from error
        if len(content) > self._max_bytes:
            raise ImageFailure("too_large", f"The file is larger than {self._max_bytes:,} bytes.")
        return Image.fromarray(decode_image(content, resolution=resolution, max_pixels=self._max_pixels).pixels)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
