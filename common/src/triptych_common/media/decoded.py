"""What a decoder makes of a photo: its pixels, and what its file taught."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from triptych_common.media.scaling import Resolution


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What decoding taught about a file."""

    content_sha256: bytes
    width: int
    """Of the upright picture at full size, in pixels."""
    height: int
    size_bytes: int
    taken_at: str
    """ISO 8601 by the camera's clock, without zone; empty where unknown."""
    format: str


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """A photo as an array."""

    pixels: NDArray[np.uint8]
    """[height, width, 3], RGB in sRGB, upright, as large as the resolution asked for."""
    facts: ImageFacts


class Decode(Protocol):
    """Decodes the first picture of an encoded file, upright by its EXIF orientation."""

    def __call__(self, content: bytes, *, resolution: Resolution, max_pixels: int) -> DecodedImage:
        """The picture, at most ``max_pixels`` large before it is shrunk. Raises ImageFailure, and AwayError where it
        cannot be decoded now, which says nothing about the photo.
        """
