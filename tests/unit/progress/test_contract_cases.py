"""The cases of the REST contract's table, from the events of a session to what is shown of it.

Each case is told twice, as the pipeline would: by the catalogue's rows, and by the events that services and pipeline
send. The events go through the fold and over the wire, the rows and what came of the events through the snapshot.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import pytest

from triptych_gateway.api import schemas
from triptych_gateway.api.unified import unify
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.sessions.sessions import Session as SessionRow
from triptych_progress.messages import session_to_wire
from triptych_progress.reducer import PHASES, CountsReport, Life, LifeReport, Phase, Report, State
from triptych_progress.session import Session
from triptych_progress.snapshots import Position, decode_session, encode_session

START = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)
SECOND = 1_000_000
WEIGHTS: Mapping[Phase, float] = {"training": 0.30, "face_detection": 0.65, "clustering": 0.05}
SESSION_ID = 7


@dataclass(kw_only=True)
class Story:
    """A session: its rows as they stand, and the events of it so far."""

    status: str = "running"
    runs: dict[str, Run] = field(default_factory=dict)
    events: list[tuple[int, Report]] = field(default_factory=list)
    """When the stream took each, in microseconds since 1970."""
    now: datetime = START

    def __post_init__(self) -> None:
        for phase in PHASES:
            self.life(phase, "pending")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def life(self, phase: Phase, state: State, *, number: int = 1, **changes: Any) -> None:
        """Change a run's row and announce it."""
        known = self.runs.get(phase)
        values: dict[str, Any] = {
            **dict.fromkeys(Run.__dataclass_fields__),
            **{"id": 1, "session_id": SESSION_ID, "phase": phase, "generation": 1, "shard_size": 10, "evidence": {}},
            **dict.fromkeys(("total", "skipped", "done", "failed", "found"), 0),
            **(vars(known) if known is not None and known.number == number else {}),
            **{"number": number, "status": state, **changes},
        }
        run = self.runs[phase] = Run(**values)
        life = Life(
            epoch=1,
            step=len(self.events) + 1,
            state=state,
            total=run.total,
            skipped=run.skipped,
            weight=WEIGHTS[phase],
            error_code=run.error_code or "",
            error_message=run.error_message or "",
        )
        self._send(LifeReport(session_id=SESSION_ID, phase=phase, run=number, life=life))

    def work(
        self, phase: Phase, *, done: int, failed: int = 0, unit: str = "shard-0", size: int = 10, is_stored: bool = True
    ) -> None:
        """Have a worker report a unit; what it did is stored too unless the gateway died before."""
        run = self.runs[phase]
        self._send(
            CountsReport(
                session_id=SESSION_ID, phase=phase, run=run.number, unit=unit, done=done, failed=failed, total=size
            )
        )
        if is_stored:
            self.runs[phase] = Run(**(vars(run) | {"done": max(run.done, done), "failed": max(run.failed, failed)}))

    def complete(self, phase: Phase, *, total: int, done: int | None = None, failed: int = 0, number: int = 1) -> None:
        """Begin a run and bring it to its end."""
        self.life(phase, "running", number=number, total=total)
        if total:
            unit = "clustering" if phase == "clustering" else "shard-0"
            self.work(phase, done=total - failed if done is None else done, failed=failed, unit=unit, size=total)
        self.life(phase, "completed", number=number, total=total)

    def _send(self, report: Report) -> None:
        self.wait(1)
        self.events.append((_microseconds(self.now), report))

    def shown(self, *, arriving: Sequence[tuple[int, Report]] | None = None) -> schemas.UnifiedProgress:
        """What is shown now, once these events (by default all, as they were sent) have arrived."""
        return self.shown_of(_fold_on(Session(), self.events if arriving is None else arriving))

    def shown_of(self, folded: Session) -> schemas.UnifiedProgress:
        """What is shown now of what an aggregator has folded."""
        shown = unify(self._row(), self.runs, session_to_wire(SESSION_ID, folded), now=self.now, stale=False)
        return schemas.UnifiedProgress.model_validate(shown)

    def _row(self) -> SessionRow:
        values: dict[str, Any] = {
            **dict.fromkeys(SessionRow.__dataclass_fields__),
            **{"id": SESSION_ID, "name": "n", "status": self.status, "root_path": b"/photos", "photos_found": 0},
            **{"config": {}, "weights": WEIGHTS, "weighting": "fixed", "lifecycle_step": len(self.events)},
            **{"created_at": START, "updated_at": self.now, "started_at": START},
            **dict.fromkeys(("total", "skipped", "done", "failed"), 0),
        }
        if self.status == "paused":
            values["paused_at"] = self.now
        elif self.status != "running":
            values["completed_at"] = self.now
        return SessionRow(**values)


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * SECOND)


def _fold_on(folded: Session, events: Sequence[tuple[int, Report]]) -> Session:
    """Fold these events too."""
    for time_microseconds, report in events:
        folded.apply(report, time_microseconds=time_microseconds)
    return folded


def clustering_raises() -> Story:
    story = Story(status="failed")
    story.complete("training", total=10)
    story.complete("face_detection", total=10)
    story.life("clustering", "running", total=8)
    story.work("clustering", done=8, unit="clustering", size=8)
    story.life("clustering", "failed", error_code="clustering_failed", error_message="Clustering failed: it raised.")
    return story


def no_faces_found_in_any_photo() -> Story:
    story = Story(status="completed")
    story.complete("training", total=10)
    story.complete("face_detection", total=10)
    story.complete("clustering", total=0)
    return story


def zero_images_in_the_directory() -> Story:
    story = Story(status="completed")
    for phase in PHASES:
        story.life(phase, "completed")
    return story


def every_image_fails() -> Story:
    story = Story(status="failed")
    story.life("training", "running", total=10)
    story.work("training", done=0, failed=10)
    story.life("training", "failed", error_code="every_photo_failed", error_message="All 10 photos failed.")
    return story


def some_images_fail() -> Story:
    story = Story(status="completed")
    story.complete("training", total=10, failed=3)
    story.complete("face_detection", total=10, failed=4)
    story.complete("clustering", total=6)
    return story


def paused() -> Story:
    story = Story(status="paused")
    story.life("training", "running", total=20)
    story.work("training", done=8)
    story.life("training", "paused")
    story.wait(3600)
    return story


def paused_then_resumed() -> Story:
    story = paused()
    story.status = "running"
    story.life("training", "running")
    return story


def process_killed_and_started_again(phase: Phase) -> Story:
    """Two items more had been reported than were stored, in clustering all; they are computed again."""
    story = Story()
    for earlier in PHASES[: PHASES.index(phase)]:
        story.complete(earlier, total=20)
    unit, size, is_stored = ("clustering", 20, False) if phase == "clustering" else ("shard-0", 10, True)
    story.life(phase, "running", total=20)
    story.work(phase, done=6, unit=unit, size=size, is_stored=is_stored)
    story.work(phase, done=8, unit=unit, size=size, is_stored=False)
    story.wait(15)
    story.life(phase, "running")
    story.work(phase, done=1 if phase == "clustering" else 6, unit=unit, size=size, is_stored=is_stored)
    story.work(phase, done=7, unit=unit, size=size, is_stored=is_stored)
    return story


def failed_only_restart_answered() -> Story:
    """Of ten photos seven were done; the restart's run begins with them."""
    story = Story(status="failed")
    story.life("training", "running", total=10)
    story.work("training", done=7, failed=3)
    story.life("training", "failed", error_code="worker_lost", error_message="Three were lost.")
    story.status = "running"
    story.life("training", "pending", number=2, total=10, skipped=7)
    return story


def failed_only_restart_under_way() -> Story:
    story = failed_only_restart_answered()
    story.life("training", "running", number=2, total=10, skipped=7)
    story.work("training", done=1, size=3)
    return story


def failed_only_restart_at_its_end() -> Story:
    story = failed_only_restart_under_way()
    story.work("training", done=2, failed=1, size=3)
    story.life("training", "completed", number=2)
    return story


def restart_answered(phase: Phase) -> Story:
    """Of ten photos four need no redoing, or all faces do."""
    story = Story(status="completed")
    story.complete("training", total=10)
    story.complete("face_detection", total=10)
    story.complete("clustering", total=6)
    story.status = "running"
    known = {} if phase == "clustering" else {"total": 10, "skipped": 4}
    story.life(phase, "pending", number=2, **known)
    for later in PHASES[PHASES.index(phase) + 1 :]:
        story.life(later, "pending", number=2)
    return story


def restart_under_way(phase: Phase) -> Story:
    story = restart_answered(phase)
    if phase == "clustering":
        story.life(phase, "running", number=2, total=6)
        story.work(phase, done=3, unit="clustering", size=6, is_stored=False)
    else:
        story.life(phase, "running", number=2)
        story.work(phase, done=2, failed=1, size=6)
    return story


def photos_are_looked_for() -> Story:
    return Story()


def photos_are_found() -> Story:
    story = Story()
    for phase in ("training", "face_detection"):
        story.life(phase, "pending", total=10)
    return story


def between_two_phases() -> Story:
    story = photos_are_found()
    story.life("training", "running", skipped=2)
    story.work("training", done=8, size=8)
    story.life("training", "completed")
    return story


def an_old_session_without_a_face_detection_record() -> Story:
    story = Story(status="cancelled", runs={}, events=[])
    story.complete("training", total=10)
    story.runs = {"training": story.runs["training"]}
    story.events = [(time, report) for time, report in story.events if report.phase == "training"]
    return story


def in_the_middle_of_face_detection() -> Story:
    story = Story()
    story.complete("training", total=10, failed=1)
    story.life("face_detection", "running", total=30)
    story.work("face_detection", done=4, failed=1, unit="shard-0")
    story.work("face_detection", done=9, failed=1, unit="shard-0")
    story.work("face_detection", done=5, unit="shard-1")
    story.runs["face_detection"] = Run(**(vars(story.runs["face_detection"]) | {"done": 0, "failed": 0}))
    return story


PENDING: Final = ("pending", 0, 0, 0)
"""A phase of which nothing is known yet."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A session, and what is to be shown of it."""

    make: Callable[[], Story]
    overall: tuple[str, float, str]
    """Status, percentage and current phase."""
    phases: Mapping[Phase, tuple[str, int, int, int]]
    """Status, current, total and failed of some phases."""


CASES: Mapping[str, Case] = {
    "clustering raises": Case(
        make=clustering_raises,
        overall=("failed", 99.9, "clustering"),
        phases={"clustering": ("failed", 8, 8, 0), "training": ("completed", 10, 10, 0)},
    ),
    "no faces found in any photo": Case(
        make=no_faces_found_in_any_photo,
        overall=("completed", 100, "completed"),
        phases={"clustering": ("completed", 0, 0, 0), "face_detection": ("completed", 10, 10, 0)},
    ),
    "zero images in the directory": Case(
        make=zero_images_in_the_directory,
        overall=("completed", 100, "completed"),
        phases=dict.fromkeys(PHASES, ("completed", 0, 0, 0)),
    ),
    "every image fails": Case(
        make=every_image_fails,
        overall=("failed", 30, "training"),
        phases={"training": ("failed", 10, 10, 10), "face_detection": PENDING},
    ),
    "some images fail": Case(
        make=some_images_fail,
        overall=("completed", 100, "completed"),
        phases={"training": ("completed", 10, 10, 3), "face_detection": ("completed", 10, 10, 4)},
    ),
    "paused, then resumed: paused": Case(
        make=paused,
        overall=("paused", 12, "training"),
        phases={"training": ("paused", 8, 20, 0)},
    ),
    "paused, then resumed: resumed": Case(
        make=paused_then_resumed,
        overall=("running", 12, "training"),
        phases={"training": ("running", 8, 20, 0)},
    ),
    "process killed in any phase and started again: training": Case(
        make=partial(process_killed_and_started_again, "training"),
        overall=("running", 12, "training"),
        phases={"training": ("running", 8, 20, 0)},
    ),
    "process killed in any phase and started again: face detection": Case(
        make=partial(process_killed_and_started_again, "face_detection"),
        overall=("running", 56, "face_detection"),
        phases={"training": ("completed", 20, 20, 0), "face_detection": ("processing", 8, 20, 0)},
    ),
    "process killed in any phase and started again: clustering": Case(
        make=partial(process_killed_and_started_again, "clustering"),
        overall=("running", 97, "clustering"),
        phases={"face_detection": ("completed", 20, 20, 0), "clustering": ("running", 8, 20, 0)},
    ),
    "failed-only restart: answered": Case(
        make=failed_only_restart_answered,
        overall=("running", 21, "training"),
        phases={"training": ("pending", 7, 10, 0), "face_detection": PENDING},
    ),
    "failed-only restart: under way": Case(
        make=failed_only_restart_under_way,
        overall=("running", 24, "training"),
        phases={"training": ("running", 8, 10, 0)},
    ),
    "failed-only restart: at its end": Case(
        make=failed_only_restart_at_its_end,
        overall=("running", 30, "face_detection"),
        phases={"training": ("completed", 10, 10, 1)},
    ),
    "restart of a phase of a finished session: training, answered": Case(
        make=partial(restart_answered, "training"),
        overall=("running", 12, "training"),
        phases={"training": ("pending", 4, 10, 0), "face_detection": PENDING, "clustering": PENDING},
    ),
    "restart of a phase of a finished session: training, under way": Case(
        make=partial(restart_under_way, "training"),
        overall=("running", 21, "training"),
        phases={"training": ("running", 7, 10, 1), "face_detection": PENDING, "clustering": PENDING},
    ),
    "restart of a phase of a finished session: face detection, answered": Case(
        make=partial(restart_answered, "face_detection"),
        overall=("running", 56, "face_detection"),
        phases={
            "training": ("completed", 10, 10, 0),
            "face_detection": ("pending", 4, 10, 0),
            "clustering": PENDING,
        },
    ),
    "restart of a phase of a finished session: face detection, under way": Case(
        make=partial(restart_under_way, "face_detection"),
        overall=("running", 75.5, "face_detection"),
        phases={
            "training": ("completed", 10, 10, 0),
            "face_detection": ("processing", 7, 10, 1),
            "clustering": PENDING,
        },
    ),
    "restart of a phase of a finished session: clustering, answered": Case(
        make=partial(restart_answered, "clustering"),
        overall=("running", 95, "clustering"),
        phases={"face_detection": ("completed", 10, 10, 0), "clustering": PENDING},
    ),
    "restart of a phase of a finished session: clustering, under way": Case(
        make=partial(restart_under_way, "clustering"),
        overall=("running", 97.5, "clustering"),
        phases={"face_detection": ("completed", 10, 10, 0), "clustering": ("running", 3, 6, 0)},
    ),
    "an old session that has no face-detection record": Case(
        make=an_old_session_without_a_face_detection_record,
        overall=("cancelled", 30, "face_detection"),
        phases={
            "training": ("completed", 10, 10, 0),
            "face_detection": PENDING,
            "clustering": PENDING,
        },
    ),
    "late, duplicated or re-ordered progress events": Case(
        make=in_the_middle_of_face_detection,
        overall=("running", 62.5, "face_detection"),
        phases={"training": ("completed", 10, 10, 1), "face_detection": ("processing", 15, 30, 1)},
    ),
    "running from start to end: photos are looked for": Case(
        make=photos_are_looked_for,
        overall=("running", 0, "training"),
        phases=dict.fromkeys(PHASES, PENDING),
    ),
    "running from start to end: photos are found": Case(
        make=photos_are_found,
        overall=("running", 0, "training"),
        phases={"training": ("pending", 0, 10, 0), "clustering": PENDING},
    ),
    "running from start to end: between two phases": Case(
        make=between_two_phases,
        overall=("running", 30, "face_detection"),
        phases={"training": ("completed", 10, 10, 0), "face_detection": ("pending", 0, 10, 0)},
    ),
}
"""By the contract's name of each, and where it has several, what tells it from the others."""
ROWS: Final = (
    "clustering raises",
    "no faces found in any photo",
    "zero images in the directory",
    "every image fails",
    "some images fail",
    "paused, then resumed",
    "process killed in any phase and started again",
    "failed-only restart",
    "restart of a phase of a finished session",
    "an old session that has no face-detection record",
    "late, duplicated or re-ordered progress events",
)
"""The contract's table but for two runs of one phase at once: that they are refused is no question of progress."""


def _phases_of(shown: schemas.UnifiedProgress) -> dict[str, tuple[str, int, int, int]]:
    """Status, current, total and failed of each phase."""
    phases = (shown.phases.training, shown.phases.face_detection, shown.phases.clustering)
    return {one.name: (one.status, one.progress.current, one.progress.total, one.failed) for one in phases}


def _overall_of(shown: schemas.UnifiedProgress) -> tuple[str, float, str]:
    """Status, percentage and current phase."""
    return shown.overall_status, shown.overall_progress.percentage, shown.overall_progress.current_phase


def test_every_row_of_the_contracts_table_has_its_cases() -> None:
    assert {name.partition(":")[0] for name in CASES} == {*ROWS, "running from start to end"}


@pytest.mark.parametrize("name", CASES)
def test_case_comes_out_right(name: str) -> None:
    case = CASES[name]

    shown = case.make().shown()

    assert _overall_of(shown) == case.overall
    assert {phase: _phases_of(shown)[phase] for phase in case.phases} == case.phases


@pytest.mark.parametrize("name", CASES)
def test_each_phases_percentage_agrees_with_its_counts(name: str) -> None:
    shown = CASES[name].make().shown()

    for phase in (shown.phases.training, shown.phases.face_detection, shown.phases.clustering):
        stats = phase.progress
        if stats.total:
            assert stats.percentage == 100 * stats.current / stats.total
        else:
            assert stats.percentage == (100 if phase.status == "completed" else 0)


@pytest.mark.parametrize("name", CASES)
def test_late_duplicated_and_reordered_events_end_in_the_same_numbers(name: str) -> None:
    story = CASES[name].make()
    in_order = story.shown()

    for seed in range(20):
        arriving = [*story.events, *random.Random(seed).choices(story.events, k=5)]
        random.Random(seed).shuffle(arriving)
        shown = story.shown(arriving=arriving)
        assert (_overall_of(shown), _phases_of(shown)) == (_overall_of(in_order), _phases_of(in_order))


@pytest.mark.parametrize("name", CASES)
def test_no_case_shows_more_without_the_aggregator_than_with_it(name: str) -> None:
    """While the aggregator is away the catalogue's counts are shown: what is stored, and never more than was seen."""
    story = CASES[name].make()

    alone, both = story.shown(arriving=[]), story.shown()

    assert alone.overall_status == both.overall_status
    assert alone.overall_progress.current_phase == both.overall_progress.current_phase
    assert alone.overall_progress.percentage <= both.overall_progress.percentage


@pytest.mark.parametrize("name", CASES)
def test_a_hundred_is_shown_if_and_only_if_the_session_is_completed(name: str) -> None:
    shown = CASES[name].make().shown()

    assert (shown.overall_progress.percentage == 100) == (shown.overall_status == "completed")


@pytest.mark.parametrize(
    ("name", "phase", "error"),
    [
        ("clustering raises", "clustering", ("clustering_failed", "Clustering failed: it raised.")),
        ("every image fails", "training", ("every_photo_failed", "All 10 photos failed.")),
    ],
)
def test_the_error_of_the_phase_that_failed_is_named(name: str, phase: str, error: tuple[str, str]) -> None:
    phases = CASES[name].make().shown().phases

    told: schemas.PhaseProgress = getattr(phases, phase)
    assert told.error is not None
    assert (told.error.code, told.error.message) == error
    assert {one.name for one in (phases.training, phases.face_detection, phases.clustering) if one.error} == {phase}


@pytest.mark.parametrize("name", CASES)
def test_an_aggregator_that_died_anywhere_and_folds_some_of_it_again_shows_the_same(name: str) -> None:
    story = CASES[name].make()
    undisturbed = story.shown()

    for cut in range(len(story.events) + 1):
        snapshot = encode_session(_fold_on(Session(), story.events[:cut]), position=Position(sequence=cut))
        for again in range(min(cut, 3) + 1):
            restored, _ = decode_session(snapshot)
            assert story.shown_of(_fold_on(restored, story.events[cut - again :])) == undisturbed


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("paused", "process killed"))])
def test_the_bar_goes_on_from_where_it_stood(name: str) -> None:
    story = CASES[name].make()

    percentages = [
        story.shown(arriving=story.events[:count]).overall_progress.percentage
        for count in range(len(PHASES) + 1, len(story.events) + 1)
    ]

    assert percentages == sorted(percentages)


def test_the_eta_excludes_the_pause() -> None:
    """An hour's pause after eight seconds of work for eight photos: twelve photos are still a matter of seconds."""
    story = paused_then_resumed()
    story.events.clear()
    story.now = START
    for phase in PHASES:
        story.life(phase, "pending")
    story.life("training", "running", total=20)
    for done in range(1, 9):
        story.work("training", done=done)
    story.life("training", "paused")
    story.wait(3600)
    story.life("training", "running")

    eta = story.shown().phases.training.progress.eta_seconds

    assert eta is not None
    assert 0 < eta < 60
