"""Pace: prior first, own work later; swings pass, changes stay, outliers are forgotten."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_common.progress.durations import LogNormal
from triptych_progress.pace import Pace


def _worked(pace: Pace, *, seconds_per_item: float, items: int) -> Pace:
    for _ in range(items):
        pace.work(seconds_per_item, 1)
    return pace


def _median(pace: Pace, items: int) -> float:
    return math.exp(pace.expected(items).mean)


def test_before_any_work_the_prior_is_believed() -> None:
    assert _median(Pace.believed(LogNormal(math.log(0.2), 0.1)), 1000) == pytest.approx(200)


def test_a_sure_prior_is_given_up_later_than_a_doubtful_one() -> None:
    sure, doubtful = (
        _worked(Pace.believed(LogNormal(0.0, spread)), seconds_per_item=1.3, items=12) for spread in (0.05, 0.5)
    )
    assert 1000 < _median(sure, 1000) < _median(doubtful, 1000) < 1310


def test_noise_averages_out() -> None:
    random = np.random.default_rng(1)
    pace = Pace.believed(LogNormal(0.0, 0.5))
    for _ in range(2000):
        pace.work(2.0 * max(0.1, random.normal(1, 0.3)), 1)
    assert _median(pace, 10_000) == pytest.approx(20_000, rel=0.1)


def test_a_slow_minute_weighs_on_a_short_rest_more_than_on_a_long_one() -> None:
    pace = _worked(Pace.believed(LogNormal(0.0, 0.05)), seconds_per_item=1.0, items=600)
    _worked(pace, seconds_per_item=1.35, items=45)
    assert _median(pace, 10) / 10 > 1.1
    assert _median(pace, 100_000) / 100_000 < 1.1


def test_one_outlier_is_hardly_believed() -> None:
    pace = _worked(Pace.believed(LogNormal(0.0, 0.1)), seconds_per_item=1.0, items=200)
    before = _median(pace, 1000)
    pace.work(400.0, 4)
    assert _median(pace, 1000) == pytest.approx(before, rel=0.1)


def test_more_replicas_are_believed_after_a_few_reports() -> None:
    pace = _worked(Pace.believed(LogNormal(0.0, 0.1)), seconds_per_item=1.0, items=3600)
    _worked(pace, seconds_per_item=0.25, items=60)
    assert _median(pace, 1000) < 400
    _worked(pace, seconds_per_item=0.25, items=2000)
    assert _median(pace, 1000) == pytest.approx(250, rel=0.1)


def test_the_doubt_shrinks_with_work() -> None:
    pace = Pace.believed(LogNormal(0.0, 0.5))
    spreads = [_worked(pace, seconds_per_item=1.0, items=50).expected(1000).spread for _ in range(4)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 0.2


@given(
    st.none() | st.builds(LogNormal, st.floats(-10, 10), st.floats(0, 5)),
    st.lists(st.tuples(st.floats(0, 1e7), st.integers(1, 10**9)), max_size=50),
    st.integers(1, 10**12),
)
def test_whatever_is_worked_the_belief_stays_a_number(
    prior: LogNormal | None, stretches: list[tuple[float, int]], items: int
) -> None:
    pace = Pace.believed(prior)
    for seconds, done in stretches:
        pace.work(seconds, done)
    expected = pace.expected(items)
    assert math.isfinite(expected.mean)
    assert 0 <= expected.spread < math.inf
    assert pace.level_variance >= 0
    assert pace.swing_variance >= 0
