"""One small whole picture of every format that is read, and where the bytes of its pixels are."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from tests.support.claiming_pictures import SMALL, encode
from tests.support.raw_photos import make_dng

_JPEG: Final = (b"\xff\xda", b"\xff\xd9")
_MARKS: Final[Mapping[str, tuple[bytes, bytes]]] = {
    **dict.fromkeys(("jpeg", "progressive-jpeg", "restarting-jpeg", "multi-picture"), _JPEG),
    "previewed-raw": (b"\xff\xd8\xff", b"\xff\xd9"),
    "gif": (b",\0\0\0\0", b""),
    "animated-gif": (b",\0\0\0\0", b"\0!\xf9"),
    "heif": (b"mdat", b""),
    "avif": (b"mdat", b""),
    "jpeg-2000": (b"jp2c", b"\xff\x93"),
}
"""What stands where the pixels begin, and where they end; nothing for the end of the file."""
_LENGTHS: Final[Mapping[str, tuple[bytes, Literal["big", "little"], int]]] = {
    "png": (b"IDAT", "big", -8),
    "animated-png": (b"IDAT", "big", -8),
    "lossy-webp": (b"VP8 ", "little", 0),
    "lossless-webp": (b"VP8L", "little", 0),
    "animated-webp": (b"ANMF", "little", 0),
}
"""The name of the chunk of the pixels, and the order and distance from its end at which its length is told."""
_MADE_AT: Final = "2026:01:12 10:00:00"


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A picture that is read."""

    extension: str
    content: bytes
    needed: int
    """As many bytes from its start make a picture; with fewer, none may come out."""


@cache
def whole_pictures() -> Mapping[str, Whole]:
    """Pictures by what they are."""
    exif = _exif()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a photo " * 20, zip=True)
    frames = {"save_all": True, "append_images": [SMALL.rotate(180)] * 2, "duration": 100}
    made = {
        "jpeg": ("jpg", encode(SMALL, "JPEG", exif=exif, quality=95, icc_profile=_profile())),
        "progressive-jpeg": ("jpg", encode(SMALL, "JPEG", progressive=True, quality=95)),
        "restarting-jpeg": ("jpg", encode(SMALL, "JPEG", restart_marker_blocks=2)),
        "png": ("png", encode(SMALL, "PNG", pnginfo=text, exif=exif, icc_profile=_profile())),
        "animated-png": ("png", encode(SMALL, "PNG", **frames)),
        "gif": ("gif", encode(SMALL.convert("P"), "GIF", comment="a photo")),
        "animated-gif": ("gif", encode(SMALL, "GIF", **frames)),
        "lossy-webp": ("webp", encode(SMALL, "WEBP", exif=exif, quality=95)),
        "lossless-webp": ("webp", encode(SMALL, "WEBP", lossless=True)),
        "animated-webp": ("webp", encode(SMALL, "WEBP", lossless=True, **frames)),
        "tiff": ("tif", encode(SMALL, "TIFF")),
        "packed-tiff": ("tif", encode(SMALL, "TIFF", compression="tiff_adobe_deflate")),
        "bmp": ("bmp", encode(SMALL, "BMP")),
        "heif": ("heic", encode(SMALL, "HEIF", exif=exif, quality=95)),
        "avif": ("avif", encode(SMALL, "AVIF", exif=exif, quality=95)),
        "jpeg-2000": ("jp2", encode(SMALL, "JPEG2000")),
        "ppm": ("ppm", encode(SMALL, "PPM")),
        "multi-picture": ("mpo", encode(SMALL, "MPO", **frames)),
        "raw": ("dng", make_dng(preview=None)),
        "previewed-raw": ("dng", make_dng(preview=encode(SMALL, "JPEG"), preview_size=SMALL.size)),
    }
    return {
        name: Whole(extension=extension, content=content, needed=_needed(name, content))
        for name, (extension, content) in made.items()
    }


def _needed(name: str, content: bytes) -> int:
    """Up to where nine tenths of the first picture's bytes reach; nothing is known of what their last ones are for."""
    begin, end = _pixels(name, content)
    return begin + (end - begin) * 9 // 10


def _pixels(name: str, content: bytes) -> tuple[int, int]:
    """Where the bytes of the first picture's pixels begin and end."""
    if name in _MARKS:
        first, last = _MARKS[name]
        begin = content.index(first)
        end = content.find(last, begin) if last else len(content)
    elif name in _LENGTHS:
        mark, order, distance = _LENGTHS[name]
        begin = content.index(mark) + 4
        length_at = begin + distance
        end = begin + int.from_bytes(content[length_at : length_at + 4], order)
    elif name in ("tiff", "packed-tiff"):
        begin, end = _strip(content)
    else:
        # Samples as they are, to the end: of a mosaic, or of three colours.
        begin, end = len(content) - (64 * 48 * 2 if name == "raw" else 3 * SMALL.width * SMALL.height), len(content)
    return begin, end


def _strip(content: bytes) -> tuple[int, int]:
    """Where the only strip of a little-endian TIFF begins and ends (tags 273 and 279)."""
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    entries = {}
    for place in range(count):
        tag, kind, number, value = struct.unpack_from("<HHII", content, at + 2 + 12 * place)
        entries[tag] = value & 0xFFFF if kind == 3 and number == 1 else value
    return entries[273], max(entries[273] + entries[279], at + 2 + 12 * count)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 1
    exif[ExifTags.Base.Make] = "Triptych"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = _MADE_AT
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (48.0, 8.0, 14.0)
    return exif


def _profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
