"""How much memory decoding may need, by what was measured of every format (`make bench-decoders`)."""

from typing import Final

_BASE_BYTES: Final = 128 * 2**20
"""The interpreter with its libraries, and what they take whatever a photo's size is."""
_BYTES_PER_PIXEL: Final = 32
"""The hungriest, lossless WebP and TIFFs of floats, take 24."""


def needed_bytes(*, pixels: int, content_bytes: int) -> int:
    """Memory with which a picture of so many pixels is decoded, in whatever format; most need half."""
    return _BASE_BYTES + content_bytes + _BYTES_PER_PIXEL * pixels
