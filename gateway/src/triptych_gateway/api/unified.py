"""The unified progress of a session, out of the catalogue's rows and the aggregator's counts.

Statuses come from the catalogue, so the answer right after ``start`` already says ``running``. Counts are the larger of
what the catalogue has committed and what the aggregator has seen of the same run, so they neither lag nor fall.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from triptych.v1 import progress_pb2
from triptych_common.events import PHASE_NAMES
from triptych_gateway.api import schemas
from triptych_gateway.catalog.lifecycle import Run
from triptych_gateway.catalog.sessions import PHASES, Session

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STAT_NAMES: Final = {"training": "imagesEmbedded", "face_detection": "facesDetected", "clustering": "clustersCreated"}


@dataclass(frozen=True, kw_only=True)
class _Phase:
    """A phase's numbers."""

    name: str
    status: str
    run: Run | None
    seen: progress_pb2.PhaseProgress | None
    done: int
    failed: int
    skipped: int
    total: int

    @property
    def is_ahead(self) -> bool:
        return self.status in ("pending", "running")

    @property
    def current(self) -> int:
        return self.done + self.failed + self.skipped

    @property
    def percentage(self) -> float:
        """100·current/total, 0..100; 100 where there is nothing to do and the phase is completed."""
        if self.total == 0:
            return 100.0 if self.status == "completed" else 0.0
        return 100.0 * self.current / self.total


def unify(
    session: Session,
    runs: Mapping[str, Run],
    seen: progress_pb2.SessionProgress | None,
    *,
    now: datetime,
    stale: bool,
) -> schemas.UnifiedProgress:
    """The contract's snapshot. ``seen`` is what the aggregator last said of this session, or None."""
    by_phase = {PHASE_NAMES[one.phase]: one for one in seen.phases} if seen is not None else {}
    phases = {name: _phase(name, runs.get(name), by_phase.get(name)) for name in PHASES}
    current, percentage = "completed", 100.0
    if session.status != "completed":
        current = next((name for name in PHASES if phases[name].status != "completed"), PHASES[-1])
        total = sum(session.weights[name] * phase.percentage for name, phase in phases.items())
        percentage = min(int(total * 10 + 1e-6) / 10, 99.9)
    changed = max(_microseconds(session.updated_at), seen.revision if seen is not None else 0)
    ended = session.completed_at or session.paused_at
    return schemas.UnifiedProgress(
        session_id=session.id,
        overall_status=session.status,
        overall_progress=schemas.OverallProgress(
            percentage=percentage,
            current_phase=current,  # type: ignore[arg-type]
            started_at=session.started_at,
            elapsed_seconds=_elapsed(session.started_at, ended or now),
            **_overall_eta(session.status, phases, seen),
        ),
        phases=schemas.Phases(
            **{name: _phase_body(phase, session, now) for name, phase in phases.items()},
        ),
        # The two clocks need not agree: a change of the catalogue must count also where the aggregator's is ahead.
        revision=changed + session.lifecycle_step,
        updated_at=_EPOCH + timedelta(microseconds=changed),
        stale=stale and session.status == "running",
    )


def _phase(name: str, run: Run | None, seen: progress_pb2.PhaseProgress | None) -> _Phase:
    if run is None:
        return _Phase(name=name, status="pending", run=None, seen=None, done=0, failed=0, skipped=0, total=0)
    if seen is not None and seen.run != run.number:
        seen = None
    done, failed = run.done, run.failed
    if seen is not None and run.status in ("running", "paused", "cancelled", "failed"):
        failed = min(max(failed, seen.failed), run.total - run.skipped)
        done = max(done, seen.done)
    done = min(done, run.total - run.skipped - failed)
    return _Phase(
        name=name,
        status=run.status,
        run=run,
        seen=seen,
        done=done,
        failed=failed,
        skipped=run.skipped,
        total=run.total,
    )


def _phase_body(phase: _Phase, session: Session, now: datetime) -> schemas.PhaseProgress:
    run, seen = phase.run, phase.seen
    working = phase.status == "running" and session.status == "running"
    rate = seen.items_per_second if working and seen is not None and seen.HasField("items_per_second") else None
    eta = None
    if seen is not None and seen.HasField("eta_seconds") and session.status == "running" and phase.is_ahead:
        eta = round(seen.eta_seconds)
    stats = {"imagesProcessed": phase.current} if phase.name != "clustering" else {"facesProcessed": phase.current}
    stats[_STAT_NAMES[phase.name]] = phase.done if phase.name == "training" else run.found if run is not None else 0
    started = run.started_at if run is not None else None
    ended = run.completed_at if run is not None else None
    return schemas.PhaseProgress(
        name=phase.name,  # type: ignore[arg-type]
        status=_status_word(phase),
        progress=schemas.Stats(
            current=phase.current,
            total=phase.total,
            percentage=int(phase.percentage * 10 + 1e-6) / 10,
            eta_seconds=eta,
            images_per_minute=round(rate * 60, 1) if rate is not None else None,
            unique=None,
            skipped=phase.skipped if run is not None else None,
        ),
        weight=session.weights[phase.name],
        failed=phase.failed,
        error=schemas.RunError(code=run.error_code, message=run.error_message or "")
        if run is not None and run.error_code is not None
        else None,
        stats=stats,
        stage=seen.stage or None if seen is not None and working else None,
        model=schemas.Model.model_validate(run.model) if run is not None and run.model else None,
        run=run.number if run is not None else 0,
        elapsed_seconds=_elapsed(started, ended or now),
        started_at=started,
        completed_at=ended if phase.status == "completed" else None,
    )


def _status_word(phase: _Phase) -> Any:
    """The contract's word: face detection under way is ``processing``."""
    return "processing" if phase.name == "face_detection" and phase.status == "running" else phase.status


def _overall_eta(
    status: str, phases: Mapping[str, _Phase], seen: progress_pb2.SessionProgress | None
) -> dict[str, Any]:
    none = dict.fromkeys(("eta_seconds", "eta_low_seconds", "eta_high_seconds", "eta_confidence"))
    if status == "completed":
        return {**none, "eta_seconds": 0}
    if status != "running" or seen is None or not seen.HasField("eta_seconds"):
        return none
    ahead = [phase.seen for phase in phases.values() if phase.is_ahead]
    left = [one for one in ahead if one is not None and one.HasField("eta_seconds")]
    if len(left) < len(ahead):
        # The aggregator has yet to hear of a run: the sum of the others would promise too much.
        return none
    seconds = sum(one.eta_seconds for one in left)
    low, high = sum(one.eta_low_seconds for one in left), sum(one.eta_high_seconds for one in left)
    return {
        "eta_seconds": round(seconds),
        "eta_low_seconds": int(low),
        "eta_high_seconds": round(high),
        "eta_confidence": _confidence(seconds, high - low),
    }


def _confidence(seconds: float, spread_seconds: float) -> Literal["low", "medium", "high"]:
    """How wide the range is beside the ETA itself."""
    if spread_seconds <= 0.35 * seconds + 2:
        return "high"
    return "medium" if spread_seconds <= 0.8 * seconds + 2 else "low"


def _elapsed(started: datetime | None, until: datetime) -> float | None:
    return round(max(0.0, (until - started).total_seconds()), 3) if started is not None else None


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
