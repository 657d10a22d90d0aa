"""Calibrated weights: shares of the expected time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.pipeline.estimates.preparation import LEAST_WEIGHT, calibrate

_seconds = st.floats(0, 1e9)


@given(expected=st.lists(_seconds, min_size=3, max_size=3).filter(lambda seconds: sum(seconds) > 0))
def test_the_weights_add_up_to_one_and_none_is_nothing(expected: list[float]) -> None:
    weights = calibrate(list(expected))

    assert weights is not None
    assert sum(weights) == pytest.approx(1, abs=1e-9)
    assert all(0 < weight <= 1 for weight in weights)


@given(expected=st.lists(st.floats(1, 100), min_size=3, max_size=3))
def test_the_weights_are_the_shares_of_the_expected_seconds(expected: list[float]) -> None:
    assert calibrate(list(expected)) == pytest.approx([seconds / sum(expected) for seconds in expected])


def test_a_phase_that_takes_hardly_any_time_still_shows_its_end() -> None:
    weights = calibrate([900.0, 100.0, 0.0])

    assert weights is not None
    assert weights[2] == pytest.approx(LEAST_WEIGHT, rel=0.01)
    assert weights[0] == pytest.approx(9 * weights[1])


@pytest.mark.parametrize("expected", [[10.0, None, 3.0], [None, None, None], [0.0, 0.0, 0.0]])
def test_there_are_none_where_something_is_not_known(expected: list[float | None]) -> None:
    assert calibrate(expected) is None


def test_no_weight_is_less_than_the_least() -> None:
    weights = calibrate([900.0, 100.0, 0.0])
    assert weights is not None
    assert min(weights) == LEAST_WEIGHT
    assert sum(weights) == pytest.approx(1)
