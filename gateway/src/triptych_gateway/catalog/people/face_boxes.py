"""Boxes of faces: how much two of them have in common, in SQL and outside of it."""

from typing import Final, Protocol

SAME_FACE: Final = 0.5
"""Intersection over union from which two boxes in a photo are the same face (PASCAL VOC's criterion of a match)."""


class Box(Protocol):
    """A box in shares of the upright photo."""

    @property
    def x(self) -> float:
        """Left edge."""

    @property
    def y(self) -> float:
        """Upper edge."""

    @property
    def width(self) -> float:
        """Width."""

    @property
    def height(self) -> float:
        """Height."""


def overlap(one: Box, other: Box) -> float:
    """The intersection over union, 0..1, of two boxes."""
    common_width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    common_height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    common = max(0.0, common_width) * max(0.0, common_height)
    union = one.width * one.height + other.width * other.height - common
    return common / union if union > 0 else 0.0


def overlap_of(one: str, other: str) -> str:
    """An expression for the intersection over union, 0..1, of the boxes of two rows of such names."""
    common = " * ".join(
        f"greatest(0, least({one}.{start} + {one}.{length}, {other}.{start} + {other}.{length})"
        f" - greatest({one}.{start}, {other}.{start}))"
        for start, length in (("x", "width"), ("y", "height"))
    )
    areas = f"{one}.width * {one}.height + {other}.width * {other}.height"
    return f"coalesce({common} / nullif({areas} - {common}, 0), 0)"
