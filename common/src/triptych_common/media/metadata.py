"""What a picture's EXIF tells; damage to it never makes the picture unreadable."""

import struct
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


def read_exif(image: Image.Image) -> Image.Exif:
    """The picture's EXIF; empty where it has none or a damaged one."""
    try:
        return image.getexif()
    except DECODER_ERRORS:
        return Image.Exif()


def taken_at(image: Image.Image) -> str:
    """EXIF DateTimeOriginal (or DateTime) as ISO 8601, without zone; empty where absent or malformed."""
    exif = read_exif(image)
    try:
        value = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    except DECODER_ERRORS:
        return ""
    text = str(value).strip("\0 ") if value else ""
    date, _, time = text.partition(" ")
    iso = f"{date.replace(':', '-')}T{time}"
    return iso if len(iso) == 19 and iso.replace("-", "").replace("T", "").replace(":", "").isdigit() else ""
