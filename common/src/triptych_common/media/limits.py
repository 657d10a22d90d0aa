"""Limits on what decoding may cost, checked on a file's header before anything of that size is allocated."""

import re
import struct
from typing import Final

from PIL import Image, TiffImagePlugin

from triptych_common.media.failures import ImageFailure

MAX_SCANS: Final = 100
"""Scans that a JPEG may have. Encoders write about ten; a scan of a few bytes can stand for a pass over the whole
picture, so that a small file may cost hours."""

_MARKER: Final = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""Whatever stands before it: fill bytes, entropy-coded data with stuffed zeros and restarts (ISO/IEC 10918-1, B.1)."""
_TEMPORARY, _START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0x01, 0xD8, 0xD9, 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})

_TILE_SIDES: Final = (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH)


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raises ImageFailure too_large for a picture [width, height] of more than ``max_pixels``."""
    width, height = size
    if width * height > max_pixels:
        raise ImageFailure("too_large", f"The picture has {width:,} × {height:,} pixels; the limit is {max_pixels:,}.")


def check_before_opening(content: bytes, max_pixels: int) -> None:
    """Check what Pillow would allocate as soon as it opens a file: the canvas of a WebP. Raises ImageFailure."""
    canvas = webp_canvas(content[:30])
    if canvas is not None:
        check_pixels(canvas, max_pixels)


def check_opened(image: Image.Image, content: bytes, max_pixels: int) -> None:
    """Check what an opened picture says of itself, before its pixels are decoded. Raises ImageFailure too_large."""
    check_pixels(image.size, max_pixels)
    if image.format in ("JPEG", "MPO") and _has_too_many_scans(content):
        raise ImageFailure("too_large", f"The picture is made of more than {MAX_SCANS} scans.")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # A tile is decoded whole, also where little of it is inside the picture.
        tile_width, tile_height = (image.tag_v2.get(side, 0) for side in _TILE_SIDES)
        if isinstance(tile_width, int) and isinstance(tile_height, int):
            check_pixels((tile_width, tile_height), max_pixels)


def _has_too_many_scans(content: bytes) -> bool:
    """Whether the first picture of a JPEG has more than MAX_SCANS; what comes after that picture is not looked at."""
    scans, components, is_progressive, at = 0, 0, False, 2
    while scans <= MAX_SCANS and (found := _MARKER.search(content, at)) is not None:
        marker, at = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            return False
        if marker in (_TEMPORARY, _START_OF_IMAGE):
            continue
        if marker in _FRAMES:
            components, is_progressive = int.from_bytes(content[at + 7 : at + 8]), marker in _PROGRESSIVE
        elif marker == _START_OF_SCAN:
            # One with all components is the only one that is decoded: nearly all photos, whose bytes are not searched.
            if not is_progressive and int.from_bytes(content[at + 2 : at + 3]) >= components:
                return False
            scans += 1
        at += max(2, int.from_bytes(content[at : at + 2]))
    return scans > MAX_SCANS


def webp_canvas(head: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP by its first 30 bytes (RFC 9649, section 2.5 to 2.7); None for other files."""
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return None
    match head[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", head, 21)
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", head, 26))
    return width, height
