"""How many faces a clustering will have: those known, and those in photos yet to be looked at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.catalog.runs.expectations import (
    NOTHING_SEEN,
    SURE_SPREAD,
    USUAL_FACES,
    FacesSeen,
    expect_faces,
)

_numbers = st.integers(0, 10**6)


def test_without_photos_ahead_the_faces_are_counted_and_sure() -> None:
    expected = expect_faces(known=70, photos=0, seen=FacesSeen(photos=50, faces=70))

    assert (expected.items, expected.spread) == (70, SURE_SPREAD)


def test_where_there_is_nothing_none_are_expected_and_that_is_sure() -> None:
    expected = expect_faces(known=0, photos=0, seen=NOTHING_SEEN)

    assert (expected.items, expected.spread) == (0, SURE_SPREAD)


def test_before_any_photo_was_looked_at_photos_have_the_usual_faces_and_that_is_in_doubt() -> None:
    expected = expect_faces(known=0, photos=1000, seen=NOTHING_SEEN)

    assert expected.items == 1000 * USUAL_FACES
    assert expected.spread > 0.5


@pytest.mark.parametrize("faces", [0, 100, 400])
def test_photos_ahead_are_taken_to_be_like_those_seen(faces: int) -> None:
    expected = expect_faces(known=faces, photos=900, seen=FacesSeen(photos=100, faces=faces))

    assert expected.items == pytest.approx(faces * 10, rel=0.02, abs=10)


@given(photos=st.integers(1, 10**6), seen=st.integers(1, 10**5))
def test_the_doubt_shrinks_as_photos_are_looked_at(photos: int, seen: int) -> None:
    before = expect_faces(known=0, photos=photos, seen=FacesSeen(photos=seen, faces=seen))
    after = expect_faces(known=0, photos=photos, seen=FacesSeen(photos=10 * seen, faces=10 * seen))

    assert after.spread < before.spread


@given(known=_numbers, photos=_numbers, seen_photos=_numbers, seen_faces=_numbers)
def test_the_expectation_is_never_less_than_what_is_known_and_never_without_doubt(
    known: int, photos: int, seen_photos: int, seen_faces: int
) -> None:
    expected = expect_faces(known=known, photos=photos, seen=FacesSeen(photos=seen_photos, faces=seen_faces))

    assert expected.items >= known
    assert SURE_SPREAD <= expected.spread < 1
