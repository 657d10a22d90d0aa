"""The ICC profile of a picture: its own, or that of the colour space that its EXIF names."""

import struct
from collections.abc import Sequence
from functools import cache
from typing import Final

from PIL import ExifTags, Image

from triptych_common.media.metadata import DECODER_ERRORS, read_exif

_WHITE: Final = (0.9642, 1.0, 0.8249)
"""D50, as X, Y and Z: what profiles call white (ICC.1:2022, 7.2.16)."""
_ADOBE_COLORANTS: Final = {
    b"r": (0.60974, 0.31111, 0.01947),
    b"g": (0.20528, 0.62567, 0.06087),
    b"b": (0.14919, 0.06322, 0.74457),
}
"""Red, green and blue of Adobe RGB (1998), adapted to D50 (its specification, 4.3.5.3)."""
_ADOBE_GAMMA: Final = 2 + 51 / 256
_ADOBE_INDEX: Final = "R03"
"""What EXIF's interoperability index says of Adobe RGB (DCF 2.0, option file)."""


def profile_of(image: Image.Image) -> bytes | None:
    """The profile of a decoded picture's colours; None where it has none, which then are sRGB."""
    own = image.info.get("icc_profile")
    if isinstance(own, bytes) and own:
        return own
    try:
        index = read_exif(image).get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
    except DECODER_ERRORS:
        return None
    # Cameras that are set to Adobe RGB say so there, and most put no profile into the file.
    return adobe_rgb_profile() if isinstance(index, str) and index.strip("\0 ") == _ADOBE_INDEX else None


@cache
def adobe_rgb_profile() -> bytes:
    """Adobe RGB (1998) as a profile of three colorants and a gamma, which is all that it is."""
    gamma = b"para" + bytes(8) + _fixed([_ADOBE_GAMMA])
    tags = {b"wtpt": b"XYZ " + bytes(4) + _fixed(_WHITE)}
    for colour, colorant in _ADOBE_COLORANTS.items():
        tags |= {colour + b"XYZ": b"XYZ " + bytes(4) + _fixed(colorant), colour + b"TRC": gamma}
    table, values = struct.pack(">I", len(tags)), b""
    first = 128 + len(table) + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sII", name, first + len(values), len(value))
        values += value
    version, size = 0x04300000, first + len(values)
    header = struct.pack(">III4s4s4s12x4s28x", size, 0, version, b"mntr", b"RGB ", b"XYZ ", b"acsp") + _fixed(_WHITE)
    return header.ljust(128, b"\0") + table + values


def _fixed(numbers: Sequence[float]) -> bytes:
    """Numbers as ICC's s15Fixed16."""
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))
