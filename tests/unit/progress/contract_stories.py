"""Sessions of the REST contract's table of cases, each told twice, as the pipeline would.

By the catalogue's rows, and by the events that services and pipeline send.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from triptych_gateway.api import schemas
from triptych_gateway.api.unified import unify
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.sessions.sessions import Session as SessionRow
from triptych_progress.messages import session_to_wire
from triptych_progress.reducer import PHASES, CountsReport, Life, LifeReport, Phase, Report, State
from triptych_progress.session import Session

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
        return self.shown_of(fold_on(Session(), self.events if arriving is None else arriving))

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


def fold_on(folded: Session, events: Sequence[tuple[int, Report]]) -> Session:
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
