"""How far a picture is shrunk: while it is decoded where its format can do that, and as little as possible afterwards.

What was measured, and what else was tried: docs/decisions/0014-decoding.md.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from PIL import Image

_FILTER: Final = Image.Resampling.HAMMING
"""As fast as bilinear, and nearly as sharp as bicubic where pictures are made smaller."""

Part: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels, of what a decoded picture shows: sides that are no multiple of its divisor
end within the last pixel."""


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """How far a picture may be shrunk while it is decoded. Neither: not at all."""

    shortest_side_pixels: int | None = None
    """The shorter side stays at least this long (or as it is, where it is shorter) and becomes at most twice as long:
    what is decoded fastest. A model that needs an exact size resamples once, from this."""
    longest_side_pixels: int | None = None
    """The longer side becomes at most this long, and no shorter than it must."""

    def smallest_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The width and height, in pixels ≥ 1, that a picture of ``size`` may not fall below."""
        wanted, side = self._scale(size)
        return max(1, size[0] * wanted // side), max(1, size[1] * wanted // side)

    def exact_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """The width and height, in pixels ≥ 1, that a picture of ``size`` comes to; None where several suit."""
        if self.longest_side_pixels is None:
            return None
        wanted, side = self._scale(size)
        return max(1, (2 * size[0] * wanted + side) // (2 * side)), max(1, (2 * size[1] * wanted + side) // (2 * side))

    def _scale(self, size: tuple[int, int]) -> tuple[int, int]:
        """The factor of both sides, ≤ 1, as numerator and denominator: floats would lose a pixel now and then."""
        asked = ((self.shortest_side_pixels, min(size)), (self.longest_side_pixels, max(size)))
        factors = [(wanted, side) for wanted, side in asked if wanted is not None and wanted < side]
        return min(factors, key=lambda factor: factor[0] / factor[1], default=(1, 1))


def decode_shrunk(image: Image.Image, resolution: Resolution) -> Part:
    """Decode an opened picture, smaller where its format can: a JPEG at 1/2, 1/4 or 1/8, out of its cosines.

    Raises what Pillow's decoders raise.
    """
    drafted = image.draft(None, resolution.smallest_size(image.size))
    image.load()
    return drafted[1] if drafted is not None else (0, 0, *image.size)


def shrink_decoded(
    image: Image.Image, resolution: Resolution, *, full_size: tuple[int, int], part: Part
) -> Image.Image:
    """A picture that was decoded from ``full_size``, and shows it in that part, as small as the resolution says."""
    exact = resolution.exact_size(full_size)
    if exact is not None:
        return image if image.size == exact else image.resize(exact, _FILTER, box=part, reducing_gap=2.0)
    smallest = resolution.smallest_size(full_size)
    factor = min(image.width // smallest[0], image.height // smallest[1])
    return image.reduce(factor) if factor > 1 else image
