"""Boxes in and outside of SQL agree on what is the same face."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.catalog.people.face_boxes import overlap
from triptych_gateway.catalog.people.kept_out import KeptOutBox, is_kept_out


@dataclass(frozen=True)
class Rectangle:
    x: float
    y: float
    width: float
    height: float


shares = st.floats(0, 1)
rectangles = st.builds(Rectangle, shares, shares, shares, shares)


@given(rectangles, rectangles)
def test_two_boxes_overlap_each_other_alike_and_never_more_than_wholly(one: Rectangle, other: Rectangle) -> None:
    assert overlap(one, other) == overlap(other, one)
    assert 0 <= overlap(one, other) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Rectangle(0.1, 0.1, 0.2, 0.2), 1.0),
        (Rectangle(0.2, 0.1, 0.2, 0.2), 1 / 3),
        (Rectangle(0.5, 0.5, 0.2, 0.2), 0.0),
        (Rectangle(0.1, 0.1, 0.0, 0.0), 0.0),
    ],
)
def test_the_overlap_is_the_intersection_over_the_union(other: Rectangle, expected: float) -> None:
    assert overlap(Rectangle(0.1, 0.1, 0.2, 0.2), other) == pytest.approx(expected)


def test_a_face_is_kept_out_where_half_of_a_box_is_its_own() -> None:
    boxes = [KeptOutBox(x=0.7, y=0.7, width=0.1, height=0.1), KeptOutBox(x=0.1, y=0.1, width=0.2, height=0.2)]
    assert is_kept_out(Rectangle(0.12, 0.1, 0.2, 0.2), boxes)
    assert not is_kept_out(Rectangle(0.25, 0.1, 0.2, 0.2), boxes)
    assert not is_kept_out(Rectangle(0.12, 0.1, 0.2, 0.2), [])
