"""Boxes of faces in SQL: how much two of them have in common."""

from typing import Final

SAME_FACE: Final = 0.5
"""Intersection over union from which two boxes in a photo are the same face (PASCAL VOC's criterion of a match)."""


def overlap_of(one: str, other: str) -> str:
    """An expression for the intersection over union, 0..1, of the boxes of two rows of such names."""
    common = " * ".join(
        f"greatest(0, least({one}.{start} + {one}.{length}, {other}.{start} + {other}.{length})"
        f" - greatest({one}.{start}, {other}.{start}))"
        for start, length in (("x", "width"), ("y", "height"))
    )
    areas = f"{one}.width * {one}.height + {other}.width * {other}.height"
    return f"coalesce({common} / nullif({areas} - {common}, 0), 0)"
