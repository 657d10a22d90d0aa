"""What a picture's EXIF tells; damage to it never makes the picture unreadable."""

import re
import struct
from datetime import datetime
from typing import Final

from PIL import ExifTags, Image

DECODER_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    struct.error,
    EOFError,
    RuntimeError,
)
"""What Pillow's decoders raise on damaged input, by experience; MemoryError and the rest are not about the photo."""


_TIME: Final = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d) (\d\d:\d\d:\d\d)", re.ASCII)
"""EXIF 3.0, 4.6.5.7; some programs write dashes."""


def read_exif(image: Image.Image) -> Image.Exif:
    """The picture's EXIF; empty where it has none or a damaged one."""
    try:
        return image.getexif()
    except DECODER_ERRORS:
        return Image.Exif()


def taken_at(image: Image.Image) -> str:
    """EXIF DateTimeOriginal (or DateTime) as ISO 8601, without zone; empty where it is absent, or no date there is."""
    exif = read_exif(image)
    try:
        value = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    except DECODER_ERRORS:
        return ""
    written = _TIME.fullmatch(str(value).strip("\0 ")) if value else None
    if written is None:
        return ""
    iso = "{}-{}-{}T{}".format(*written.groups())
    try:
        # A camera whose clock was never set writes zeros.
        datetime.fromisoformat(iso)
    except ValueError:
        return ""
    return iso
