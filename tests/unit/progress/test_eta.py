"""ETA: from work, not from waiting; from history before there is work; unknown where nothing is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.progress.simulated_sessions import reports
from triptych_common.progress.evidence import NO_EVIDENCE, Evidence, Timing
from triptych_progress.eta import Expectation, Outlook
from triptych_progress.reducer import CountsReport, Life, LifeReport, Phase, Report, State
from triptych_progress.session import Session
from triptych_progress.work_clock import STALL_SECONDS

_WEIGHTS: dict[Phase, float] = {"training": 0.5, "face_detection": 0.25, "clustering": 0.25}


class _Story:
    """A session told with a clock."""

    def __init__(self) -> None:
        self.session = Session()
        self.now_seconds = 1_700_000_000.0
        self._step = 0

    def life(
        self,
        state: State,
        *,
        phase: Phase = "training",
        total: int = 1000,
        skipped: int = 0,
        prior: float = 0.0,
        evidence: Evidence = NO_EVIDENCE,
    ) -> None:
        self._step += 1
        life = Life(
            epoch=1,
            step=self._step,
            state=state,
            total=total,
            skipped=skipped,
            weight=_WEIGHTS[phase],
            evidence=Evidence(history=(Timing(1000, 1000 * prior),)) if prior else evidence,
        )
        self._apply(LifeReport(session_id=1, phase=phase, run=1, life=life))

    def work(self, *, begin: int, items: int, seconds_per_item: float, size: int = 1000) -> None:
        """Report after each item from ``begin`` on."""
        for done in range(begin + 1, begin + items + 1):
            self.now_seconds += seconds_per_item
            self._apply(
                CountsReport(session_id=1, phase="training", run=1, unit="shard-0", done=done, failed=0, total=size)
            )

    def expected(self, phase: Phase = "training") -> Expectation | None:
        return self.session.outlook().phases[phase]

    def expected_of_all(self) -> Expectation | None:
        return self.session.outlook().overall

    def seconds(self, phase: Phase = "training") -> float:
        expected = self.expected(phase)
        assert expected is not None
        return expected.seconds

    def _apply(self, report: Report) -> None:
        self.session.apply(report, time_microseconds=int(self.now_seconds * 1e6))


def test_nothing_is_expected_where_nothing_is_known() -> None:
    story = _Story()
    assert story.expected() is None
    story.life("running")
    assert story.expected() is None
    assert story.expected_of_all() is None


def test_history_is_the_expectation_before_any_work_is_seen() -> None:
    story = _Story()
    story.life("running", prior=2.0)
    assert story.seconds() == pytest.approx(2000)


def test_own_work_outweighs_history_as_it_grows() -> None:
    story = _Story()
    story.life("running", prior=2.0)
    story.work(begin=0, items=12, seconds_per_item=1.0)
    early = story.seconds()
    assert 988 < early < 2 * 988
    story.work(begin=12, items=400, seconds_per_item=1.0)
    assert story.seconds() == pytest.approx(588 * 1.0, rel=0.2)


def test_without_history_the_pace_is_that_of_recent_work() -> None:
    story = _Story()
    story.life("running")
    story.work(begin=0, items=500, seconds_per_item=0.5)
    assert story.seconds() == pytest.approx(250, rel=0.01)
    assert story.session.clocks["training"].rate == pytest.approx(2.0)


def test_the_pace_follows_a_change() -> None:
    story = _Story()
    story.life("running")
    story.work(begin=0, items=500, seconds_per_item=0.1)
    story.work(begin=500, items=200, seconds_per_item=1.0)
    assert story.seconds() == pytest.approx(300, rel=0.1)


def test_a_pause_does_not_count() -> None:
    story = _Story()
    story.life("running")
    story.work(begin=0, items=100, seconds_per_item=1.0)
    before = story.seconds()
    story.life("paused")
    story.now_seconds += 3600
    story.life("running")
    assert story.seconds() == before
    story.work(begin=100, items=1, seconds_per_item=1.0)
    assert story.seconds() == pytest.approx(899, rel=0.01)


def test_what_was_in_flight_at_a_pause_counts_neither_as_time_nor_as_work() -> None:
    story = _Story()
    story.life("running")
    story.work(begin=0, items=100, seconds_per_item=1.0)
    story.life("paused")
    story.work(begin=100, items=20, seconds_per_item=0.001)
    story.now_seconds += 3600
    story.life("running")
    story.work(begin=120, items=10, seconds_per_item=1.0)
    assert story.session.clocks["training"].rate == pytest.approx(1.0)


def test_a_stall_counts_as_no_more_than_a_usual_gap() -> None:
    story = _Story()
    story.life("running")
    story.work(begin=0, items=100, seconds_per_item=1.0)
    story.work(begin=100, items=1, seconds_per_item=7200.0)
    clock = story.session.clocks["training"]
    assert clock.worked_seconds == pytest.approx(101)
    assert story.seconds() == pytest.approx(899, rel=0.01)


def test_slow_work_is_not_taken_for_a_stall_for_long() -> None:
    story = _Story()
    story.life("running")
    story.work(begin=0, items=60, seconds_per_item=30.0)
    assert story.seconds() == pytest.approx(940 * 30, rel=0.1)


def test_another_gateway_that_announces_the_run_again_does_not_change_the_pace() -> None:
    story = _Story()
    story.life("running")
    for done in range(50):
        story.work(begin=done, items=1, seconds_per_item=0.5)
        story.now_seconds += 0.5
        story.life("running")
    assert story.session.clocks["training"].rate == pytest.approx(1.0, rel=0.05)


def test_skipped_items_are_not_work() -> None:
    story = _Story()
    story.work(begin=0, items=10, seconds_per_item=1.0)
    story.life("running", total=1500, skipped=500)
    story.work(begin=10, items=10, seconds_per_item=1.0)
    assert story.session.clocks["training"].rate == pytest.approx(1.0)


def test_timestamps_that_go_back_count_as_no_time() -> None:
    story = _Story()
    story.life("running")
    story.work(begin=0, items=10, seconds_per_item=1.0)
    story.work(begin=10, items=10, seconds_per_item=-5.0)
    assert story.session.clocks["training"].worked_seconds == pytest.approx(10)
    assert story.seconds() > 0


def test_without_any_time_there_is_no_pace() -> None:
    story = _Story()
    story.life("running")
    story.work(begin=0, items=10, seconds_per_item=0.0)
    assert story.expected() is None
    assert story.session.clocks["training"].rate is None


def test_a_rate_is_told_only_once_there_was_enough_work_to_believe_it() -> None:
    def rate_after(*, items: int, seconds_per_item: float) -> float | None:
        story = _Story()
        story.life("running")
        story.work(begin=0, items=items, seconds_per_item=seconds_per_item)
        return story.session.clocks["training"].rate

    assert rate_after(items=2, seconds_per_item=0.01) is None
    assert rate_after(items=2, seconds_per_item=5.0) is None
    assert rate_after(items=100, seconds_per_item=0.01) is None
    assert rate_after(items=4, seconds_per_item=5.0) == pytest.approx(0.2)
    assert rate_after(items=400, seconds_per_item=0.01) == pytest.approx(100.0, rel=0.01)


def test_a_phase_of_unknown_pace_is_guessed_by_its_weight_and_doubted() -> None:
    story = _Story()
    story.life("running")
    story.life("pending", phase="face_detection", total=0)
    story.work(begin=0, items=500, seconds_per_item=1.0)
    guess = story.expected("face_detection")
    assert guess is not None
    assert guess.seconds == pytest.approx(500, rel=0.05)
    assert guess.low_seconds is None, "too little is known for a range"


def test_all_is_the_sum_of_the_phases_that_are_ahead() -> None:
    story = _Story()
    story.life("running", prior=1.0)
    story.life("pending", phase="face_detection", prior=2.0)
    story.life("pending", phase="clustering", prior=0.1)
    everything = story.expected_of_all()
    assert everything is not None
    assert everything.seconds == pytest.approx(1000 + 2000 + 100, rel=0.05)
    story.life("completed")
    rest = story.expected_of_all()
    assert rest is not None
    assert rest.seconds == pytest.approx(2100, rel=0.05)


def test_the_range_narrows_as_work_is_seen() -> None:
    story = _Story()
    story.life("running", prior=1.0)
    widths = []
    for begin in (0, 300, 600):
        story.work(begin=begin, items=300, seconds_per_item=1.0)
        expected = story.expected()
        assert expected is not None
        widths.append(_width(expected))
    assert widths[1] < widths[0] < 300


def test_the_range_of_the_sum_is_narrower_than_the_sum_of_the_ranges() -> None:
    story = _Story()
    history = Evidence(history=tuple(Timing(1000, seconds) for seconds in (950, 1000, 1050, 1000, 980)))
    for phase in ("training", "face_detection"):
        story.life("pending", phase=phase, evidence=history)
    story.life("completed", phase="clustering")
    outlook = story.session.outlook()
    parts = [outlook.phases[phase] for phase in ("training", "face_detection")]
    assert outlook.overall is not None
    assert None not in parts
    assert _width(outlook.overall) < 0.9 * sum(_width(part) for part in parts if part is not None)


def test_items_that_a_pending_phase_is_expected_to_have_count_rather_than_its_total() -> None:
    story = _Story()
    evidence = Evidence(history=(Timing(1000, 1000.0),), expected_items=200, expected_items_spread=0.02)
    story.life("pending", phase="face_detection", evidence=evidence)
    assert story.seconds("face_detection") == pytest.approx(200, rel=0.01)


def test_clustering_at_work_begins_with_what_its_cost_curve_says() -> None:
    story = _Story()
    curve = tuple(Timing(items, 1e-6 * items**1.5) for items in (1000.0, 4000.0, 16_000.0))
    story.life("running", phase="clustering", total=64_000, evidence=Evidence(history=curve))
    assert story.seconds("clustering") == pytest.approx(1e-6 * 64_000**1.5, rel=0.3)


def test_a_stall_is_told_once_at_the_moment_it_becomes_one_and_the_expectation_stays() -> None:
    story = _Story()
    story.life("running")
    story.work(begin=0, items=100, seconds_per_item=1.0)
    seen, before = story.session.revision, story.seconds()
    assert not story.session.tick(seen + int(STALL_SECONDS * 1e6) - 1)
    assert story.session.stalled_since("training") is None
    assert story.session.tick(seen + 40_000_000)
    assert not story.session.tick(seen + 41_000_000)
    assert story.session.stalled_since("training") == seen
    assert story.session.revision == seen + int(STALL_SECONDS * 1e6)
    assert story.seconds() == before
    story.work(begin=100, items=1, seconds_per_item=60.0)
    assert story.session.stalled_since("training") is None


def test_neither_a_pause_nor_a_finished_phase_is_a_stall() -> None:
    story = _Story()
    story.life("running")
    story.work(begin=0, items=100, seconds_per_item=1.0)
    story.life("paused")
    assert not story.session.tick(story.session.revision + 3_600_000_000)
    story.life("completed")
    assert not story.session.tick(story.session.revision + 3_600_000_000)


@pytest.mark.parametrize("state", ["paused", "failed", "cancelled"])
def test_nothing_is_expected_of_all_while_a_phase_is_held_or_has_ended_without_success(state: State) -> None:
    story = _Story()
    for phase in _WEIGHTS:
        story.life("running", phase=phase, prior=1.0)
    assert story.expected_of_all() is not None
    story.life(state, prior=1.0)
    assert story.expected_of_all() is None


def test_nothing_is_expected_when_all_is_completed() -> None:
    story = _Story()
    for phase in _WEIGHTS:
        story.life("completed", phase=phase, prior=1.0)
    assert story.session.outlook() == Outlook(phases=dict.fromkeys(_WEIGHTS), overall=None)


@given(
    st.lists(st.tuples(st.floats(-1e4, 1e7), st.integers(0, 1000), st.booleans()), max_size=60),
    st.sampled_from([0.0, 1e-6, 0.3, 86_400.0]),
    st.integers(0, 1000),
)
def test_an_expectation_is_never_negative_and_lies_in_its_range(
    told: list[tuple[float, int, bool]], prior: float, total: int
) -> None:
    story = _Story()
    story.life("running", total=total, prior=prior)
    for gap_seconds, done, is_paused in told:
        story.now_seconds += gap_seconds
        story.work(begin=max(done - 1, 0), items=1, seconds_per_item=0.0)
        if is_paused:
            story.life("paused", total=total, prior=prior)
            story.life("running", total=total, prior=prior)
        _assert_sensible(story.session)


@given(reports(), st.integers(-10_000_000, 10_000_000))
def test_whatever_is_reported_and_however_time_goes_expectations_stay_sensible(sent: list[Report], tick: int) -> None:
    session = Session()
    for number, report in enumerate(sent):
        before = session.revision
        session.apply(report, time_microseconds=1_700_000_000_000_000 + number * tick)
        assert session.revision >= before
        _assert_sensible(session)


def _width(expected: Expectation) -> float:
    assert expected.low_seconds is not None
    assert expected.high_seconds is not None
    return expected.high_seconds - expected.low_seconds


def _assert_sensible(session: Session) -> None:
    outlook = session.outlook()
    for expected in (*outlook.phases.values(), outlook.overall):
        if expected is not None:
            assert 0 <= expected.seconds < math.inf
            assert (expected.low_seconds is None) == (expected.high_seconds is None)
            if expected.low_seconds is not None and expected.high_seconds is not None:
                assert 0 <= expected.low_seconds <= expected.seconds <= expected.high_seconds < math.inf
    for clock in session.clocks.values():
        assert clock.rate is None or clock.rate > 0
