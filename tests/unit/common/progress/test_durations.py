"""What evidence says of durations: history before probe, curves for clustering, doubt where little is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_cluster.neighbours.graph import EXACT_UP_TO_FACES
from triptych_common.progress.durations import (
    EXACT_CLUSTERING_UP_TO,
    expected_pace,
    expected_seconds,
    likely_seconds,
    standard_normal,
)
from triptych_common.progress.evidence import MAX_SECONDS, NO_EVIDENCE, Evidence, Timing


def _history(*timings: tuple[float, float]) -> Evidence:
    return Evidence(history=tuple(Timing(*one) for one in timings))


def _probe(*timings: tuple[float, float]) -> Evidence:
    return Evidence(probe=tuple(Timing(*one) for one in timings))


def _spread(evidence: Evidence, *, phase: str = "training", items: float = 1000) -> float:
    seconds = likely_seconds(phase, items=items, evidence=evidence)
    assert seconds is not None
    return float(np.log(seconds).std())


@pytest.mark.parametrize("phase", ["training", "face_detection", "clustering"])
def test_without_evidence_nothing_is_expected(phase: str) -> None:
    assert expected_seconds(phase, items=100, evidence=NO_EVIDENCE) is None


def test_photos_cost_what_they_cost_before() -> None:
    assert expected_seconds("training", items=500, evidence=_history((1000, 20), (4000, 80))) == pytest.approx(
        10, rel=0.01
    )
    assert expected_seconds("training", items=500, evidence=_probe((8, 0.4))) == pytest.approx(25, rel=0.01)


def test_more_runs_are_surer_than_one_and_one_than_a_probe() -> None:
    one, many = _history((1000, 20)), _history(*[(1000, 20)] * 8)
    assert _spread(many) < _spread(one) < _spread(_probe((8, 0.16)))


def test_runs_that_differ_are_doubted() -> None:
    assert _spread(_history((1000, 20), (1000, 40), (1000, 10))) > 2 * _spread(_history(*[(1000, 20)] * 3))


def test_a_run_of_a_few_items_says_less_than_a_large_one() -> None:
    pace = expected_pace(_history((2, 2), (10_000, 1000)))
    assert pace is not None
    assert math.exp(pace.mean) == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("exponent", [1.0, 1.4, 1.8])
def test_clustering_follows_the_curve_of_its_past(exponent: float) -> None:
    def cost(faces: float) -> float:
        return float(0.5 + 4 * (faces / 1e4) ** exponent)

    history = _history(*[(faces, cost(faces)) for faces in (300.0, 2000.0, 9000.0, 30_000.0)])
    for faces in (100.0, 5000.0, 100_000.0):
        assert expected_seconds("clustering", items=faces, evidence=history) == pytest.approx(cost(faces), rel=0.2)


def test_the_curve_bends_where_the_clusterer_ceases_to_compare_all_pairs() -> None:
    assert EXACT_CLUSTERING_UP_TO == EXACT_UP_TO_FACES


def test_clustering_follows_the_bend_in_the_curve_of_its_past() -> None:
    """What grouping so many faces took, in seconds: nearly quadratic up to the bend, then hardly more than linear."""
    measured = {
        **{300.0: 0.043, 1000.0: 0.070, 9999.0: 0.767},
        **{10_001.0: 0.595, 14_000.0: 0.793, 20_000.0: 1.141, 50_000.0: 3.406, 100_000.0: 7.12},
    }
    history = _history(*[(faces, measured[faces]) for faces in (300.0, 1000.0, 9999.0, 20_000.0)])
    for faces, seconds in measured.items():
        assert expected_seconds("clustering", items=faces, evidence=history) == pytest.approx(seconds, rel=0.12)


def test_beyond_the_bend_less_is_expected_than_few_faces_would_say() -> None:
    below = _history(*[(faces, 5e-9 * faces**2) for faces in (3000.0, 6000.0, 9000.0)])
    beyond = expected_seconds("clustering", items=100_000, evidence=below)
    assert beyond is not None
    assert beyond < 0.9 * 5e-9 * 100_000.0**2
    with_probe = Evidence(history=below.history, probe=(Timing(12_000, 0.45),))
    nearer = expected_seconds("clustering", items=100_000, evidence=with_probe)
    assert nearer is not None
    assert nearer < 0.6 * beyond


def test_a_curve_far_beyond_the_probe_is_doubted() -> None:
    probe = _probe((500, 0.02), (2000, 0.1))
    assert _spread(probe, phase="clustering", items=2000) < 0.3
    assert _spread(probe, phase="clustering", items=200_000) > 0.5


def test_no_faces_take_no_time() -> None:
    assert expected_seconds("clustering", items=0, evidence=_probe((2000, 0.1))) == 0


def test_doubt_about_the_number_of_items_is_doubt_about_the_time() -> None:
    sure = Evidence(history=(Timing(1000, 20),), expected_items=1000)
    doubtful = Evidence(history=(Timing(1000, 20),), expected_items=1000, expected_items_spread=0.8)
    assert _spread(doubtful) > 0.7 > _spread(sure)


def test_phases_are_independent_of_each_other() -> None:
    for one in range(8):
        assert standard_normal(one).mean() == pytest.approx(0, abs=1e-9)
        for other in range(one):
            assert abs(np.corrcoef(standard_normal(one), standard_normal(other))[0, 1]) < 0.2


_timings = st.lists(st.builds(Timing, st.floats(1e-3, 1e12), st.floats(1e-6, MAX_SECONDS)), max_size=4).map(tuple)


@given(
    st.sampled_from(["training", "clustering"]),
    st.floats(0, 1e12),
    st.builds(Evidence, history=_timings, probe=_timings),
)
def test_whatever_is_credible_gives_a_duration(phase: str, items: float, evidence: Evidence) -> None:
    assert evidence.is_credible()
    seconds = likely_seconds(phase, items=items, evidence=evidence)
    assert (seconds is None) == (not evidence.history and not evidence.probe)
    if seconds is not None:
        assert np.isfinite(seconds).all()
        assert (seconds >= 0).all()
