"""The laws of progress, as properties of the fold."""

import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.progress.simulated_sessions import SESSION_ID, WEIGHTS, deliveries, reports
from triptych_common.progress.evidence import Evidence, Timing
from triptych_progress.reducer import (
    MAX_ITEMS,
    MAX_SHARDS,
    PHASES,
    BadReportError,
    Counts,
    CountsReport,
    Life,
    LifeReport,
    Report,
    RunState,
    SessionState,
    State,
    check,
    floor_percentage,
    fold,
    fold_all,
    overall_percentage,
    phase_percentage,
)

_STATES: tuple[State, ...] = ("pending", "running", "paused", "completed", "failed", "cancelled")


def _counts(unit: str, done: int, failed: int = 0, *, total: int = 8, run: int = 1, stage: str = "") -> CountsReport:
    return CountsReport(
        session_id=SESSION_ID, phase="training", run=run, unit=unit, done=done, failed=failed, total=total, stage=stage
    )


def _life(state: State = "running", *, step: int = 1, epoch: int = 1, run: int = 1, total: int = 16) -> LifeReport:
    life = Life(epoch=epoch, step=step, state=state, total=total, skipped=0, weight=0.3)
    return LifeReport(session_id=SESSION_ID, phase="training", run=run, life=life)


# Also what no correct system sends, as long as each report for itself could be true.
_possible_counts = st.builds(
    lambda phase, run, unit, done, failed, more, stage: CountsReport(
        session_id=SESSION_ID,
        phase=phase,
        run=run,
        unit=unit,
        done=done,
        failed=failed,
        total=max(1, done + failed + more),
        stage=stage,
    ),
    st.sampled_from(PHASES),
    st.integers(1, 2),
    st.sampled_from(["shard-0", "shard-1", "shard-17", "clustering"]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from(["", "neighbours", "tree", "merge"]),
)
_possible_lives = st.builds(
    lambda phase, run, epoch, step, state, total, skipped, weight: LifeReport(
        session_id=SESSION_ID,
        phase=phase,
        run=run,
        life=Life(epoch=epoch, step=step, state=state, total=total + skipped, skipped=skipped, weight=weight),
    ),
    st.sampled_from(PHASES),
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(_STATES),
    st.integers(0, 12),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.3, 1.0]),
)
_possible_reports: st.SearchStrategy[list[Report]] = st.lists(_possible_counts | _possible_lives, max_size=20)


@given(st.data())
def test_any_order_and_any_duplicates_give_the_same_state(data: st.DataObject) -> None:
    sent = data.draw(reports())
    assert fold_all(data.draw(deliveries(sent))) == fold_all(sent)


@given(st.data())
def test_order_does_not_matter_even_where_reports_contradict_each_other(data: st.DataObject) -> None:
    sent = data.draw(_possible_reports)
    assert fold_all(data.draw(st.permutations(sent))) == fold_all(sent)


@given(_possible_reports, st.integers(0, 20))
def test_folding_again_what_is_folded_changes_nothing(sent: list[Report], start: int) -> None:
    state = fold_all(sent)
    before = copy.deepcopy(state)
    assert not any(fold(state, report) for report in sent[start:])
    assert state == before


@given(_possible_reports)
def test_fold_says_truly_whether_it_changed_anything(sent: list[Report]) -> None:
    state = SessionState()
    for report in sent:
        before = copy.deepcopy(state)
        assert fold(state, report) == (state != before)


@given(_possible_reports)
def test_the_kept_sums_of_shards_are_what_a_recount_gives(sent: list[Report]) -> None:
    state = SessionState()
    for report in sent:
        fold(state, report)
        for run in state.phases.values():
            assert (run.shards_done, run.shards_failed) == run.recount_shards()


@given(reports())
def test_counts_are_possible_at_every_moment(sent: list[Report]) -> None:
    state = SessionState()
    for report in sent:
        fold(state, report)
        _assert_possible(state)


@given(_possible_reports)
def test_counts_are_possible_even_where_reports_contradict_each_other(sent: list[Report]) -> None:
    state = SessionState()
    for report in sent:
        fold(state, report)
        _assert_possible(state)


def _assert_possible(state: SessionState) -> None:
    for run in state.phases.values():
        counts = run.counts()
        assert min(counts.done, counts.failed, counts.skipped) >= 0
        assert counts.done + counts.failed + counts.skipped == counts.current <= counts.total


_any_number = st.integers(-3, 12) | st.sampled_from([MAX_ITEMS, MAX_ITEMS + 1, 2**64 - 1])
_any_float = st.floats(-1, 2) | st.sampled_from([math.nan, math.inf, -math.inf, 1e300])


@given(
    _possible_reports,
    st.builds(
        CountsReport,
        session_id=st.sampled_from([SESSION_ID, SESSION_ID, 0, -1]),
        phase=st.sampled_from(PHASES),
        run=st.integers(0, 2),
        unit=st.sampled_from(["shard-0", "shard-01", "shard--1", f"shard-{MAX_SHARDS + 1}", "", "x" * 65, "x"]),
        done=_any_number,
        failed=_any_number,
        total=_any_number,
        stage=st.sampled_from(["", "tree", "x" * 65]),
    )
    | st.builds(
        LifeReport,
        session_id=st.sampled_from([SESSION_ID, 0]),
        phase=st.sampled_from(PHASES),
        run=st.integers(0, 2),
        life=st.builds(
            Life,
            epoch=st.integers(-1, 2),
            step=st.integers(-1, 2),
            state=st.sampled_from(_STATES),
            total=_any_number,
            skipped=_any_number,
            weight=_any_float,
            evidence=st.builds(
                Evidence,
                history=st.lists(st.builds(Timing, _any_float, _any_float), max_size=2).map(tuple),
                expected_items=_any_float,
                expected_items_spread=_any_float,
            ),
        ),
    ),
)
def test_a_bad_report_raises_and_changes_nothing(sent: list[Report], suspect: Report) -> None:
    state = fold_all(sent)
    before = copy.deepcopy(state)
    try:
        fold(state, suspect)
    except BadReportError:
        assert state == before
    else:
        _assert_possible(state)
        assert math.isfinite(overall_percentage(state))


@pytest.mark.parametrize(
    "bad",
    [
        _counts("shard-0", 5, 4),
        _counts("shard-0", -1),
        _counts("shard-0", 0, -1),
        _counts("shard-0", 0, total=0),
        _counts("shard-0", 0, total=MAX_ITEMS + 1),
        _counts("", 1),
        _counts("u" * 65, 1),
        _counts("clustering", 1, stage="s" * 65),
        _counts("shard-x", 1),
        _counts("shard-007", 1),
        _counts("shard-1 ", 1),
        _counts("shard-1\n", 1),
        _counts(f"shard-{MAX_SHARDS + 1}", 1),
        _counts("shard-0", 1, run=0),
        _life(total=-1),
        _life(step=-1),
        _life(epoch=-1),
    ],
)
def test_impossible_reports_are_told(bad: Report) -> None:
    with pytest.raises(BadReportError):
        check(bad)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, math.nan, math.inf, 1.1e9])
@pytest.mark.parametrize("is_probe", [False, True])
def test_impossible_evidence_is_told(is_probe: bool, seconds: float) -> None:
    timings = (Timing(1, seconds),)
    evidence = Evidence(probe=timings) if is_probe else Evidence(history=timings)
    life = Life(epoch=1, step=1, state="running", total=1, skipped=0, weight=1, evidence=evidence)
    with pytest.raises(BadReportError):
        check(LifeReport(session_id=1, phase="training", run=1, life=life))


@given(reports())
def test_within_a_run_no_percentage_ever_falls(sent: list[Report]) -> None:
    _assert_never_falls(sent)


@given(st.data())
def test_within_a_run_no_percentage_ever_falls_in_whatever_order_reports_arrive(data: st.DataObject) -> None:
    _assert_never_falls(data.draw(deliveries(data.draw(reports(resizes=False)))))


def _assert_never_falls(arriving: list[Report]) -> None:
    state = SessionState()
    runs, percentages, overall = _standing(state)
    for report in arriving:
        fold(state, report)
        runs_now, percentages_now, overall_now = _standing(state)
        for number, number_now, percentage, percentage_now in zip(
            runs, runs_now, percentages, percentages_now, strict=True
        ):
            assert percentage_now >= percentage or number_now != number
        assert overall_now >= overall or runs_now != runs
        runs, percentages, overall = runs_now, percentages_now, overall_now


def _standing(state: SessionState) -> tuple[list[int], list[float], float]:
    return (
        [run.run for run in state.phases.values()],
        [_percentage_of(run) for run in state.phases.values()],
        overall_percentage(state),
    )


def _percentage_of(run: RunState) -> float:
    return phase_percentage(run.counts(), run.life.state if run.life else "pending")


@given(reports(), st.integers(0, 100))
def test_overall_percentage_is_100_if_and_only_if_all_is_completed(sent: list[Report], lost: int) -> None:
    state = SessionState()
    for report in sent[: max(0, len(sent) - lost)]:
        fold(state, report)
        lives = [run.life for run in state.phases.values()]
        percentage = overall_percentage(state)
        if all(life is not None and life.state == "completed" for life in lives):
            assert percentage == 100
        else:
            assert 0 <= percentage <= 99.9
        assert percentage == pytest.approx(round(percentage, 1), abs=1e-12)


@given(reports())
def test_overall_percentage_is_the_weighted_sum_of_the_phases(sent: list[Report]) -> None:
    state = SessionState()
    for report in sent:
        fold(state, report)
        exact = sum(WEIGHTS[phase] * _percentage_of(run) for phase, run in state.phases.items())
        shown = overall_percentage(state)
        assert shown <= exact + 1e-6
        assert exact - shown < 0.1 + 1e-6


@given(reports())
def test_a_session_that_was_reported_to_its_end_is_whole(sent: list[Report]) -> None:
    state = fold_all(sent)
    assert overall_percentage(state) == 100
    assert all(run.counts().current == run.counts().total for run in state.phases.values())


@pytest.mark.parametrize(
    ("exact", "shown"), [(0.0, 0.0), (0.3 * 100, 30.0), (29.99999, 29.9), (99.95, 99.9), (100.0, 99.9), (55.55, 55.5)]
)
def test_percentages_are_floored_to_a_tenth_and_held_below_100(exact: float, shown: float) -> None:
    assert floor_percentage(exact) == shown


def test_a_shard_that_begins_again_from_lower_counts_does_not_fall_back() -> None:
    state = fold_all([_life(), _counts("shard-0", 6), _counts("shard-0", 2), _counts("shard-0", 4, 1)])
    assert state.phases["training"].counts() == Counts(done=6, failed=1, skipped=0, total=16)


def test_finished_shards_become_bits_and_late_duplicates_stay_harmless() -> None:
    state = fold_all([_life(), _counts("shard-0", 8), _counts("shard-1", 5, 3)])
    run = state.phases["training"]
    assert not run.open_shards
    assert run.finished_shards == {8: 0b11}
    assert run.finished_failures == {(1, 8): 3}
    assert not fold(state, _counts("shard-1", 2, 1))
    assert not fold(state, _counts("shard-0", 8))


def test_a_failure_that_is_told_late_moves_from_done_to_failed() -> None:
    state = fold_all([_life(), _counts("shard-0", 8), _counts("shard-0", 7, 1)])
    assert state.phases["training"].counts() == Counts(done=7, failed=1, skipped=0, total=16)


def test_a_new_run_begins_anew_and_reports_of_the_old_one_are_ignored() -> None:
    state = fold_all([_life(), _counts("shard-0", 8), _life(run=2, total=5)])
    assert not fold(state, _counts("shard-1", 8))
    assert state.phases["training"].counts().done == 0
    assert state.phases["training"].run == 2


def test_the_life_with_the_greatest_epoch_and_step_counts() -> None:
    state = fold_all([_life("completed", step=9), _life("running", step=3, epoch=1), _life("paused", step=8)])
    life = state.phases["training"].life
    assert life is not None
    assert life.state == "completed"


def test_counts_before_the_run_is_announced_wait_for_its_total() -> None:
    state = fold_all([_counts("shard-0", 8)])
    assert state.phases["training"].counts().current == 0
    fold(state, _life())
    assert state.phases["training"].counts().done == 8


def test_a_completed_run_is_whole_even_where_a_worker_died_before_its_last_report() -> None:
    state = fold_all([_life(), _counts("shard-0", 8), _counts("shard-1", 3, 1), _life("completed", step=2)])
    assert state.phases["training"].counts() == Counts(done=15, failed=1, skipped=0, total=16)


def test_the_stage_is_that_of_the_report_with_the_most_work_done() -> None:
    told = [_counts("clustering", done, stage=stage) for done, stage in ((1, "tree"), (3, "merge"), (2, "neighbours"))]
    assert fold_all([_life(), *told]).phases["training"].stage() == "merge"


def test_a_run_in_one_piece_that_begins_again_with_another_size_goes_on_from_its_share() -> None:
    state = fold_all([_life(total=10), _counts("clustering", 9, total=10)])
    fold(state, _life(total=20, step=2))
    assert state.phases["training"].counts().done == 18
    fold(state, _counts("clustering", 4, total=20))
    assert state.phases["training"].counts().done == 18
    fold(state, _counts("clustering", 19, total=20))
    assert state.phases["training"].counts().done == 19


def test_a_phase_without_items_is_at_0_until_it_is_completed() -> None:
    nothing = Counts(done=0, failed=0, skipped=0, total=0)
    assert phase_percentage(nothing, "running") == 0
    assert phase_percentage(nothing, "completed") == 100
