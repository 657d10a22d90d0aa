"""The unified progress, case by case of the contract's table."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych.v1 import progress_event_pb2, progress_pb2
from triptych_common.progress.events import PHASES_BY_NAME
from triptych_gateway.api import schemas
from triptych_gateway.api.aliases import with_aliases
from triptych_gateway.api.unified import unify
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.sessions.sessions import PHASES, Session

START = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)
NOW = START + timedelta(minutes=5)
WEIGHTS = {"training": 0.30, "face_detection": 0.65, "clustering": 0.05}


def session(status: str = "running", **changes: Any) -> Session:
    values: dict[str, Any] = {
        **dict.fromkeys(Session.__dataclass_fields__),
        **{"id": 7, "name": "n", "status": status, "root_path": b"/photos", "photos_found": 0, "config": {}},
        **{
            "weights": WEIGHTS,
            "weighting": "fixed",
            "lifecycle_step": 0,
            "created_at": START,
            "updated_at": START,
            "started_at": START,
            "discovered_at": START,
        },
        **{"total": 0, "skipped": 0, "done": 0, "failed": 0},
    }
    return Session(**(values | changes))


def run(phase: str, status: str = "pending", **changes: Any) -> Run:
    values: dict[str, Any] = {
        **dict.fromkeys(Run.__dataclass_fields__),
        **{"id": 1, "session_id": 7, "phase": phase, "number": 1, "status": status, "generation": 1, "shard_size": 64},
        **{
            "total": 0,
            "skipped": 0,
            "done": 0,
            "failed": 0,
            "found": 0,
            "renewed": 0,
            "forgets_persons": False,
            "evidence": {},
        },
    }
    return Run(**(values | changes))


def runs(*given: Run) -> dict[str, Run]:
    """The latest runs: those, and pending ones of the other phases."""
    return {phase: run(phase) for phase in PHASES} | {one.phase: one for one in given}


def seen(
    *phases: progress_pb2.PhaseProgress,
    revision: int = 0,
    eta: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    return progress_pb2.SessionProgress(
        session_id=7, revision=revision, phases=phases, eta_seconds=eta, eta_low_seconds=low, eta_high_seconds=high
    )


def seen_phase(phase: str, *, number: int = 1, **values: Any) -> progress_pb2.PhaseProgress:
    state = progress_event_pb2.RUN_STATE_RUNNING
    return progress_pb2.PhaseProgress(phase=PHASES_BY_NAME[phase], run=number, state=state, **values)


def test_a_bar_does_not_fall_where_clustering_begins_again_with_more_faces() -> None:
    before = [done("training", 10), done("face_detection", 10)]
    reported = seen(seen_phase("clustering", done=20, total=30))

    shown = [look(session(), runs(*before, run("clustering", "running", total=n)), reported) for n in (30, 45, 31)]

    assert [one.phases.clustering.progress.current for one in shown] == [20, 30, 21]
    assert all(one.overall_progress.percentage >= shown[0].overall_progress.percentage for one in shown)


def look(
    of: Session, latest: Mapping[str, Run], reported: progress_pb2.SessionProgress | None = None, **more: Any
) -> schemas.UnifiedProgress:
    """What is shown, as its schema reads it; that the schema would write it the same is part of every test."""
    shown = unify(of, latest, reported, now=NOW, **({"stale": False} | more))
    read = schemas.UnifiedProgress.model_validate(shown)
    assert read.model_dump(by_alias=True, mode="json") == with_aliases(shown)
    return read


def done(phase: str, total: int, **changes: Any) -> Run:
    values: dict[str, Any] = {"done": total, "total": total, "started_at": START, "completed_at": NOW}
    return run(phase, "completed", **(values | changes))


def test_the_percentage_is_the_weighted_sum_of_the_phases() -> None:
    progress = look(session(), runs(done("training", 1000), run("face_detection", "running", total=1000, done=500)))

    assert progress.overall_progress.percentage == 62.5
    assert progress.overall_progress.current_phase == "face_detection"
    assert progress.phases.training.progress.percentage == 100
    assert progress.phases.face_detection.progress.percentage == 50
    assert (progress.phases.face_detection.status, progress.phases.clustering.status) == ("processing", "pending")


@pytest.mark.parametrize(
    ("count", "total", "percentage", "overall"),
    [(1, 3, 33.3, 10.0), (2, 3, 66.6, 20.0), (999_999, 1_000_000, 99.9, 29.9), (29, 100, 29.0, 8.7), (0, 5, 0.0, 0.0)],
)
def test_percentages_are_floored_to_a_tenth(count: int, total: int, percentage: float, overall: float) -> None:
    progress = look(session(), runs(run("training", "running", total=total, done=count)))

    assert progress.phases.training.progress.percentage == percentage
    assert progress.overall_progress.percentage == overall


def test_it_is_held_below_a_hundred_until_the_session_is_completed() -> None:
    latest = runs(done("training", 5), done("face_detection", 5), done("clustering", 9))

    assert look(session(), latest).overall_progress.percentage == 99.9
    assert look(session("completed", completed_at=NOW), latest).overall_progress.percentage == 100


def test_clustering_that_raised_fails_the_session_and_names_the_error() -> None:
    failed = run("clustering", "failed", total=9, done=9, error_code="clustering_failed", error_message="It broke.")

    progress = look(session("failed", completed_at=NOW), runs(done("training", 5), done("face_detection", 5), failed))

    assert (progress.overall_status, progress.phases.clustering.status) == ("failed", "failed")
    assert progress.phases.clustering.error == schemas.RunError(code="clustering_failed", message="It broke.")
    assert progress.overall_progress.percentage < 100
    assert progress.overall_progress.current_phase == "clustering"
    assert progress.phases.clustering.completed_at is None


@pytest.mark.parametrize("photos", [5, 0])
def test_without_faces_or_photos_the_session_is_completed_at_a_hundred(photos: int) -> None:
    progress = look(
        session("completed", completed_at=NOW),
        runs(done("training", photos), done("face_detection", photos), done("clustering", 0)),
    )

    clustering = progress.phases.clustering
    assert (clustering.status, clustering.progress.current, clustering.progress.total) == ("completed", 0, 0)
    assert {phase.progress.percentage for phase in (progress.phases.training, clustering)} == {100}
    assert progress.overall_progress.percentage == 100
    assert progress.overall_progress.current_phase == "completed"
    assert progress.overall_progress.eta_seconds == 0


def test_a_phase_of_nothing_that_has_not_ended_is_at_nought() -> None:
    assert look(session(), runs()).phases.training.progress.percentage == 0


def test_every_photo_failing_fails_training() -> None:
    failed = run("training", "failed", total=4, failed=4, error_code="every_photo_failed", error_message="All failed.")

    progress = look(session("failed", completed_at=NOW), runs(failed))

    assert (progress.overall_status, progress.phases.training.status) == ("failed", "failed")
    assert (progress.phases.training.failed, progress.phases.training.progress.current) == (4, 4)
    assert progress.overall_progress.percentage < 100


def test_failed_and_skipped_photos_need_no_more_work() -> None:
    progress = look(session(), runs(run("training", "running", total=10, skipped=3, done=2, failed=1)))

    stats = progress.phases.training.progress
    assert (stats.current, stats.total, stats.percentage, stats.skipped) == (6, 10, 60, 3)
    assert progress.phases.training.failed == 1


def test_some_photos_failing_still_reaches_a_hundred() -> None:
    progress = look(
        session("completed", completed_at=NOW),
        runs(done("training", 5, done=3, failed=2), done("face_detection", 5, done=4, failed=1), done("clustering", 6)),
    )

    assert progress.overall_progress.percentage == 100
    assert (progress.phases.training.progress.percentage, progress.phases.training.failed) == (100, 2)


def test_a_paused_session_keeps_its_bar_and_promises_nothing() -> None:
    reported = seen(
        seen_phase("training", done=40, total=100, items_per_second=2.0, eta_seconds=30.0), revision=9, eta=30.0
    )

    progress = look(
        session("paused", paused_at=START + timedelta(minutes=2)),
        runs(run("training", "paused", total=100, done=38, started_at=START)),
        reported,
    )

    assert (progress.overall_status, progress.phases.training.status) == ("paused", "paused")
    assert progress.overall_progress.percentage == 12
    assert progress.overall_progress.eta_seconds is None
    assert progress.phases.training.progress.eta_seconds is None
    assert progress.phases.training.progress.images_per_minute is None
    assert progress.overall_progress.elapsed_seconds == 120


def test_a_restarted_phase_ignores_what_was_said_of_its_former_run() -> None:
    reported = seen(
        seen_phase("training", done=9, total=9),
        seen_phase("face_detection", number=1, done=9, failed=1, total=10, eta_seconds=5.0, items_per_second=2.0),
        eta=5.0,
    )

    progress = look(
        session(),
        runs(done("training", 10), run("face_detection", "running", number=2, total=10, skipped=4)),
        reported,
    )

    faces = progress.phases.face_detection
    assert (faces.run, faces.progress.current, faces.failed, faces.progress.eta_seconds) == (2, 4, 0, None)
    assert progress.overall_progress.eta_seconds is None, "the rest of the restarted phase is not known"
    assert progress.phases.training.status == "completed"
    assert progress.phases.clustering.status == "pending"


def test_an_old_session_without_later_phases_is_shown_as_far_as_it_is_known() -> None:
    progress = look(session("completed", completed_at=NOW), {"training": done("training", 3)})

    assert progress.phases.training.status == "completed"
    assert progress.phases.face_detection.status == progress.phases.clustering.status == "pending"
    assert progress.phases.face_detection.run == 0
    assert (progress.overall_status, progress.overall_progress.percentage) == ("completed", 100)
    assert progress.overall_progress.current_phase == "completed"
    assert look(session(), {}).overall_progress.percentage == 0


def test_counts_are_the_larger_of_catalogue_and_aggregator() -> None:
    latest = runs(run("training", "running", total=10, done=4, failed=1))

    ahead = look(session(), latest, seen(seen_phase("training", done=6, failed=2, total=10)))
    behind = look(session(), latest, seen(seen_phase("training", done=1, failed=0, total=10)))

    assert (ahead.phases.training.progress.current, ahead.phases.training.failed) == (8, 2)
    assert (behind.phases.training.progress.current, behind.phases.training.failed) == (5, 1)


def test_a_completed_phase_is_what_the_catalogue_holds() -> None:
    progress = look(
        session(),
        runs(done("training", 10, done=9, failed=1)),
        seen(seen_phase("training", done=4, failed=6, total=10, eta_seconds=3.0)),
    )

    assert (progress.phases.training.failed, progress.phases.training.progress.current) == (1, 10)
    assert progress.phases.training.progress.eta_seconds is None


counts = st.integers(0, 50)


@given(total=counts, skipped=counts, row=st.tuples(counts, counts), report=st.tuples(counts, counts, counts))
def test_no_report_shows_more_than_there_is(
    total: int, skipped: int, row: tuple[int, int], report: tuple[int, int, int]
) -> None:
    skipped = min(skipped, total)
    failed = min(row[1], total - skipped)
    latest = runs(
        run(
            "training",
            "running",
            total=total,
            skipped=skipped,
            failed=failed,
            done=min(row[0], total - skipped - failed),
        )
    )
    reported = seen(seen_phase("training", done=report[0], failed=report[1], total=report[2]))

    stats = look(session(), latest, reported).phases.training.progress

    assert 0 <= stats.current <= stats.total == total
    assert 0 <= stats.percentage <= 100


@given(states=st.lists(st.tuples(counts, counts, counts, counts), min_size=2, max_size=12))
def test_within_a_run_the_bar_never_falls_whoever_is_ahead(states: list[tuple[int, int, int, int]]) -> None:
    """Catalogue and aggregator each only grow; what is shown of both only grows too."""
    best = [0, 0, 0, 0]
    shown = []
    for state in states:
        best = [max(pair) for pair in zip(best, state, strict=True)]
        done_row, failed_row, done_seen, failed_seen = best
        latest = runs(run("training", "running", total=200, done=done_row, failed=failed_row))
        reported = seen(seen_phase("training", done=done_seen, failed=failed_seen, total=200))
        shown.append(look(session(), latest, reported).overall_progress.percentage)

    assert shown == sorted(shown)


def test_the_eta_is_what_the_aggregator_expects_with_its_range() -> None:
    reported = seen(
        seen_phase("training", done=9, total=9),
        seen_phase("face_detection", eta_seconds=100.0, eta_low_seconds=90.0, eta_high_seconds=111.0, total=10),
        seen_phase("clustering", eta_seconds=20.0, eta_low_seconds=18.0, eta_high_seconds=22.5),
        eta=120.0,
        low=110.9,
        high=131.1,
    )

    progress = look(session(), runs(done("training", 9), run("face_detection", "running", total=9)), reported)

    overall = progress.overall_progress
    assert (overall.eta_seconds, overall.eta_low_seconds, overall.eta_high_seconds) == (120, 110, 132)
    assert overall.eta_confidence == "high"
    assert progress.phases.face_detection.progress.eta_seconds == 100
    assert progress.phases.clustering.progress.eta_seconds == 20


@pytest.mark.parametrize(
    ("spread", "confidence"), [(37.0, "high"), (38.0, "medium"), (82.0, "medium"), (83.0, "low"), (None, "low")]
)
def test_the_confidence_is_the_width_of_the_range(spread: float | None, confidence: str) -> None:
    reported = seen(
        *(seen_phase(one, eta_seconds=0.0) for one in PHASES),
        eta=100.0,
        low=None if spread is None else 100.0,
        high=None if spread is None else 100.0 + spread,
    )

    overall = look(session(), runs(run("training", "running")), reported).overall_progress

    assert overall.eta_confidence == confidence
    assert (overall.eta_low_seconds is None) == (spread is None)


def test_the_eta_runs_on_between_messages_and_never_below_nought() -> None:
    reported = seen(*(seen_phase(one, eta_seconds=30.0) for one in PHASES), eta=90.0, low=80.0, high=100.0)
    latest = runs(run("training", "running", total=10))

    later = look(session(), latest, reported, heard_seconds_ago=4.0)
    much_later = look(session(), latest, reported, heard_seconds_ago=400.0)

    overall = later.overall_progress
    assert (overall.eta_seconds, overall.eta_low_seconds, overall.eta_high_seconds) == (86, 76, 96)
    assert later.phases.training.progress.eta_seconds == 26
    assert later.phases.face_detection.progress.eta_seconds == 30, "what has not begun does not pass"
    assert much_later.overall_progress.eta_seconds == 0


@pytest.mark.parametrize(
    ("away", "message"),
    [((), "no progress for 40 s"), (("embedder",), "no progress for 40 s: embedder is not answering")],
)
def test_a_stall_is_told_with_its_reason_and_the_eta_stands_still(away: tuple[str, ...], message: str) -> None:
    stalled = seen_phase("training", total=10, eta_seconds=30.0)
    stalled.stalled_since.FromDatetime(NOW - timedelta(seconds=40))
    revision = stalled.stalled_since.ToMicroseconds() + 10_000_000
    reported = seen(stalled, *(seen_phase(one, eta_seconds=5.0) for one in PHASES[1:]), revision=revision, eta=40.0)
    latest = runs(run("training", "running", total=10))

    shown = [
        look(session(), latest, reported, heard_seconds_ago=ago, away=away).overall_progress for ago in (0.0, 25.0)
    ]

    for overall in shown:
        assert overall.stall is not None
        assert (overall.stall.phase, overall.stall.seconds, overall.stall.message) == ("training", 40, message)
        assert overall.eta_seconds == 30, "ten seconds had passed when the silence became a stall"


def test_no_stall_is_told_where_the_catalogue_sees_work() -> None:
    """NATS is away: the aggregator hears nothing, but the gateway stores results."""
    stalled = seen_phase("training", done=5, total=100)
    stalled.stalled_since.FromDatetime(NOW - timedelta(seconds=40))
    revision = stalled.stalled_since.ToMicroseconds() + 15_000_000
    at_work = run("training", "running", total=100, done=60)
    stored = session(updated_at=NOW - timedelta(seconds=14))
    assert look(stored, runs(at_work), seen(stalled, revision=revision)).overall_progress.stall is None


def test_a_stall_is_told_where_the_last_report_before_it_was_lost() -> None:
    """What was stored after it was work; the silence since then is as long as the aggregator allows."""
    stalled = seen_phase("training", done=5, total=100)
    stalled.stalled_since.FromDatetime(NOW - timedelta(seconds=40))
    revision = stalled.stalled_since.ToMicroseconds() + 15_000_000
    at_work = run("training", "running", total=100, done=6)
    stored = session(updated_at=NOW - timedelta(seconds=39))

    stall = look(stored, runs(at_work), seen(stalled, revision=revision)).overall_progress.stall

    assert stall is not None
    assert (stall.phase, stall.seconds, stall.message) == ("training", 39, "no progress for 39 s")


def test_a_phase_that_waits_for_its_service_says_so() -> None:
    waiting = runs(run("training", total=100))
    shown = look(session(), waiting, seen(), away=("embedder",)).overall_progress.stall
    assert shown is not None
    assert (shown.phase, shown.message) == ("training", "no progress for 300 s: embedder is not answering")
    assert look(session(), waiting, seen(), away=("facedetect",)).overall_progress.stall is None
    just_now = session(updated_at=NOW - timedelta(seconds=2))
    assert look(just_now, waiting, seen(), away=("embedder",)).overall_progress.stall is None


def test_a_stall_is_none_once_the_session_no_longer_runs() -> None:
    stalled = seen_phase("training", total=10)
    stalled.stalled_since.FromDatetime(NOW - timedelta(seconds=40))

    assert look(session("paused"), runs(run("training", "paused")), seen(stalled)).overall_progress.stall is None


@pytest.mark.parametrize("status", ["pending", "paused", "failed", "cancelled"])
def test_there_is_no_eta_while_nothing_runs(status: str) -> None:
    reported = seen(*(seen_phase(one, eta_seconds=1.0) for one in PHASES), eta=3.0)

    overall = look(session(status), runs(), reported).overall_progress

    assert (overall.eta_seconds, overall.eta_low_seconds, overall.eta_high_seconds, overall.eta_confidence) == (
        *(None, None),
        *(None, None),
    )


def test_the_rate_is_per_minute() -> None:
    reported = seen(seen_phase("training", done=1, total=10, items_per_second=2.5))

    assert (
        look(session(), runs(run("training", "running", total=10)), reported).phases.training.progress.images_per_minute
        == 150
    )


moments = st.integers(0, 2_000_000)


@given(
    start=st.tuples(moments, moments, st.integers(0, 50)),
    growth=st.sampled_from([(1, 0, 1), (0, 1, 0), (3, 2, 1), (0, 0, 1)]),
)
def test_the_revision_grows_with_every_change_whichever_clock_is_ahead(
    start: tuple[int, int, int], growth: tuple[int, int, int]
) -> None:
    def revision(updated: int, aggregator: int, step: int) -> int:
        of = session(updated_at=START + timedelta(microseconds=updated), lifecycle_step=step)
        base = (START - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        return look(of, runs(), seen(revision=base + aggregator)).revision

    before = revision(*start)
    after = revision(*(a + b for a, b in zip(start, growth, strict=True)))

    assert after > before, "every change is told"


def test_microseconds_survive_into_the_revision() -> None:
    for microsecond in range(0, 1_000_000, 9973):
        at = START.replace(microsecond=microsecond)
        assert look(session(updated_at=at), runs()).revision % 1_000_000 == microsecond
        shown = look(session(updated_at=at), runs()).updated_at
        assert at - timedelta(milliseconds=1) < shown <= at


def test_stale_is_said_only_while_the_session_runs() -> None:
    assert look(session(), runs(), stale=True).stale
    assert not look(session("completed", completed_at=NOW), runs(), stale=True).stale


def test_weights_are_those_that_the_session_began_with() -> None:
    even = session(weights={"training": 0.5, "face_detection": 0.25, "clustering": 0.25})

    progress = look(even, runs(done("training", 2)))

    assert progress.overall_progress.percentage == 50
    assert progress.phases.clustering.weight == 0.25


def test_while_photos_are_looked_for_their_number_is_shown_and_afterwards_it_is_the_total() -> None:
    looking = look(session(discovered_at=None, photos_found=1234), runs())
    paused = look(session("paused", discovered_at=None, photos_found=1234), runs())
    discovered = look(session(photos_found=1234), runs(run("training", total=1234)))

    assert (looking.overall_status, looking.overall_progress.current_phase) == ("running", "training")
    training = looking.phases.training
    assert (training.status, training.stage, training.stats["imagesFound"]) == ("pending", "discovering", 1234)
    assert looking.phases.face_detection.stage is None
    assert "imagesFound" not in looking.phases.face_detection.stats
    for shown in (paused, discovered):
        assert shown.phases.training.stage is None
        assert "imagesFound" not in shown.phases.training.stats


def test_face_detection_under_way_is_processing_and_its_stage_and_model_are_told() -> None:
    model = {"id": "faces/1", "name": "Faces", "pack": "bundled", "device": "cpu", "notice": None}
    latest = runs(run("face_detection", "running", total=3, found=8, model=model))

    faces = look(
        session(), latest, seen(seen_phase("face_detection", stage="detecting", total=3))
    ).phases.face_detection

    assert (faces.status, faces.stage, faces.stats) == (
        "processing",
        "detecting",
        {"imagesProcessed": 0, "facesDetected": 8},
    )
    assert faces.model is not None
    assert faces.model.id == "faces/1"
    paused = dataclasses.replace(latest["face_detection"], status="paused")
    assert look(session("paused"), runs(paused)).phases.face_detection.status == "paused"
