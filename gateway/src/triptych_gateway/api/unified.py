"""The unified progress of a session, out of the catalogue's rows and the aggregator's counts.

It is a plain object of JSON, made for every change of every session: building and checking `schemas.UnifiedProgress`
would take five times as long. Tests hold the two against each other.

Statuses come from the catalogue, so the answer right after ``start`` already says ``running``. Counts are the larger of
what the catalogue has committed and what the aggregator has seen of the same run, so they neither lag nor fall.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from triptych.v1 import progress_pb2
from triptych_common.progress.events import PHASE_NAMES
from triptych_gateway.api import schemas
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.sessions.sessions import PHASES, Session

Json: TypeAlias = dict[str, Any]
"""An object of JSON."""

_PHASE_KEYS: Final = {"training": "training", "face_detection": "faceDetection", "clustering": "clustering"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REVISION_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Before any event, so that the first one makes a revision greater; the sum stays below 2⁵³ until the year 2140."""
_PATIENCE_SECONDS: Final = 10.0
"""How long a phase may wait for a service that is away before that is told as a stall."""
_OVER: Final = frozenset({"completed", "failed", "cancelled"})
_SERVICES: Final = {"training": "embedder", "face_detection": "facedetect", "clustering": "cluster"}
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
    def is_ahead_of_seen(self) -> bool:
        """Whether the catalogue has committed more than the aggregator has heard of."""
        if self.run is None or self.seen is None:
            return False
        return self.run.done + self.run.failed > self.seen.done + self.seen.failed

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
    heard_seconds_ago: float = 0.0,
    away: Collection[str] = (),
) -> Json:
    """The contract's snapshot: `schemas.UnifiedProgress` as JSON.

    ``seen`` is what the aggregator last said of this session, ``heard_seconds_ago``, or None. ``away`` names the
    services that do not answer.
    """
    by_phase = {PHASE_NAMES[one.phase]: one for one in seen.phases} if seen is not None else {}
    phases = {name: _phase(name, runs.get(name), by_phase.get(name)) for name in PHASES}
    current, percentage = "completed", 100.0
    if session.status != "completed":
        current = next((name for name in PHASES if phases[name].status != "completed"), PHASES[-1])
        total = sum(session.weights[name] * phase.percentage for name, phase in phases.items())
        percentage = min(int(total * 10 + 1e-6) / 10, 99.9)
    stall = _stall(session, phases, seen, now=now, away=away) if session.status == "running" else None
    passed = _passed_seconds(phases, seen, heard_seconds_ago)
    catalogue_changed, progress_changed = _microseconds(session.updated_at), seen.revision if seen is not None else 0
    ended = session.completed_at or session.paused_at
    return {
        "sessionId": session.id,
        "overallStatus": session.status,
        "overallProgress": {
            "percentage": percentage,
            **_overall_eta(session.status, phases, seen, passed_seconds=passed),
            "currentPhase": current,
            "weighting": session.weighting,
            "stall": stall,
            "startedAt": _time(session.started_at),
            "elapsedSeconds": _elapsed(session.started_at, ended or now),
        },
        "phases": {
            _PHASE_KEYS[name]: _phase_body(phase, session, now, passed_seconds=passed) for name, phase in phases.items()
        },
        # A sum grows with either, whichever of the two clocks is ahead; their maximum would not.
        "revision": catalogue_changed
        + max(0, progress_changed - _microseconds(_REVISION_EPOCH))
        + session.lifecycle_step,
        "updatedAt": _time(_EPOCH + timedelta(microseconds=max(catalogue_changed, progress_changed))),
        "stale": stale and session.status not in _OVER,
    }


def _phase(name: str, run: Run | None, seen: progress_pb2.PhaseProgress | None) -> _Phase:
    if run is None:
        return _Phase(name=name, status="pending", run=None, seen=None, done=0, failed=0, skipped=0, total=0)
    if seen is not None and seen.run != run.number:
        seen = None
    done, failed = run.done, run.failed
    room = run.total - run.skipped
    if seen is not None and run.status in ("running", "paused", "cancelled", "failed"):
        seen_failed, seen_current = (_rescaled(count, seen, room) for count in (seen.failed, seen.failed + seen.done))
        failed = min(max(failed, seen_failed), room)
        done = max(done, seen_current - seen_failed)
    done = min(done, room - failed)
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


def _rescaled(count: int, seen: progress_pb2.PhaseProgress, room: int) -> int:
    """A count of the aggregator's where it has not heard yet that the run has another number of items.

    Rounded up as there, so that the share is not less.
    """
    seen_room = seen.total - seen.skipped
    return count if seen_room in (0, room) else -(-room * count // seen_room)


def _passed_seconds(
    phases: Mapping[str, _Phase], seen: progress_pb2.SessionProgress | None, heard_seconds_ago: float
) -> float:
    """How far the clock has run on since the ETA was made; it stands still from the moment that work is stalled."""
    for phase in phases.values():
        if seen is not None and phase.seen is not None and phase.seen.HasField("stalled_since"):
            return max(0.0, seen.revision / 1e6 - phase.seen.stalled_since.ToMicroseconds() / 1e6)
    return max(0.0, heard_seconds_ago)


def _stall(
    session: Session,
    phases: Mapping[str, _Phase],
    seen: progress_pb2.SessionProgress | None,
    *,
    now: datetime,
    away: Collection[str],
) -> Json | None:
    """That the phase at work or next does not go on, and why, as far as it is known."""
    phase = next((phase for phase in phases.values() if phase.is_ahead), None)
    if phase is None:
        return None
    is_away = _SERVICES[phase.name] in away
    if phase.status == "running":
        since = _stalled_since(session, phase, seen, now=now)
    elif is_away and (now - session.updated_at).total_seconds() >= _PATIENCE_SECONDS:
        since = session.updated_at
    else:
        since = None
    if since is None:
        return None
    seconds = max(0, int((now - since).total_seconds()))
    reason = f": {_SERVICES[phase.name]} is not answering" if is_away else ""
    return {
        "phase": phase.name,
        "since": _time(since),
        "seconds": seconds,
        "message": f"no progress for {seconds} s{reason}",
    }


def _stalled_since(
    session: Session, phase: _Phase, seen: progress_pb2.SessionProgress | None, *, now: datetime
) -> datetime | None:
    """When the phase at work was last seen to work, if that is longer ago than its pace allows.

    The aggregator judges that by its events. Where the catalogue has stored more than the events tell (NATS is out of
    the service's reach, or the service fell silent before its last report), the last that was stored was work too.
    """
    if seen is None or phase.seen is None or not phase.seen.HasField("stalled_since"):
        return None
    heard_at = phase.seen.stalled_since.ToDatetime(UTC)
    if not phase.is_ahead_of_seen:
        return heard_at
    stored_at = max(heard_at, session.updated_at)
    allowed = timedelta(microseconds=seen.revision - phase.seen.stalled_since.ToMicroseconds())
    return stored_at if now - stored_at >= allowed else None


def _phase_body(phase: _Phase, session: Session, now: datetime, *, passed_seconds: float) -> Json:
    run, seen = phase.run, phase.seen
    working = phase.status == "running" and session.status == "running"
    rate = seen.items_per_second if working and seen is not None and seen.HasField("items_per_second") else None
    eta = None
    if seen is not None and seen.HasField("eta_seconds") and session.status == "running" and phase.is_ahead:
        eta = round(max(0.0, seen.eta_seconds - (passed_seconds if working else 0.0)))
    stats = {"imagesProcessed": phase.current} if phase.name != "clustering" else {"facesProcessed": phase.current}
    stats[_STAT_NAMES[phase.name]] = phase.done if phase.name == "training" else run.found if run is not None else 0
    if run is not None and run.renewed:
        stats["imagesOfAnotherModel"] = run.renewed
    stage = seen.stage or None if seen is not None and working else None
    if phase.name == "training" and session.status == "running" and session.discovered_at is None:
        stage = "discovering"
        stats["imagesFound"] = session.photos_found
    started = run.started_at if run is not None else None
    ended = run.completed_at if run is not None else None
    return {
        "name": phase.name,
        "status": _status_word(phase),
        "progress": {
            "current": phase.current,
            "total": phase.total,
            "percentage": int(phase.percentage * 10 + 1e-6) / 10,
            "etaSeconds": eta,
            "imagesPerMinute": round(rate * 60, 1) if rate is not None else None,
            "unique": None,
            "skipped": phase.skipped if run is not None else None,
        },
        "weight": session.weights[phase.name],
        "failed": phase.failed,
        "error": _error(run),
        "stats": stats,
        "stage": stage,
        "model": _model(run.model) if run is not None and run.model else None,
        "run": run.number if run is not None else 0,
        "elapsedSeconds": _elapsed(started, ended or now),
        "startedAt": _time(started),
        "completedAt": _time(ended) if phase.status == "completed" else None,
    }


def _error(run: Run | None) -> Json | None:
    if run is None or run.error_code is None:
        return None
    return {"code": run.error_code, "message": run.error_message or ""}


def _model(model: Mapping[str, Any]) -> Json:
    return {"name": None, **{key: model.get(key) for key in schemas.Model.model_fields}}


def _status_word(phase: _Phase) -> str:
    """The contract's word: face detection under way is ``processing``."""
    return "processing" if phase.name == "face_detection" and phase.status == "running" else phase.status


def _overall_eta(
    status: str,
    phases: Mapping[str, _Phase],
    seen: progress_pb2.SessionProgress | None,
    *,
    passed_seconds: float,
) -> Json:
    none: Json = dict.fromkeys(("etaSeconds", "etaLowSeconds", "etaHighSeconds", "etaConfidence"))
    if status == "completed":
        return {**none, "etaSeconds": 0}
    if status != "running" or seen is None or not seen.HasField("eta_seconds"):
        return none
    if any(phase.is_ahead and phase.seen is None for phase in phases.values()):
        # The aggregator has yet to hear of a run: what it expects of the others would promise too much.
        return none
    eta: Json = {**none, "etaSeconds": round(max(0.0, seen.eta_seconds - passed_seconds))}
    if not (seen.HasField("eta_low_seconds") and seen.HasField("eta_high_seconds")):
        return {**eta, "etaConfidence": "low"}
    low = max(0.0, seen.eta_low_seconds - passed_seconds)
    high = max(0.0, seen.eta_high_seconds - passed_seconds)
    return {
        **eta,
        "etaLowSeconds": math.floor(low),
        "etaHighSeconds": math.ceil(high),
        "etaConfidence": _confidence(seen.eta_seconds, seen.eta_high_seconds - seen.eta_low_seconds),
    }


def _confidence(seconds: float, spread_seconds: float) -> Literal["low", "medium", "high"]:
    """How wide the range is beside the ETA itself."""
    if spread_seconds <= 0.35 * seconds + 2:
        return "high"
    return "medium" if spread_seconds <= 0.8 * seconds + 2 else "low"


def _elapsed(started: datetime | None, until: datetime) -> float | None:
    return round(max(0.0, (until - started).total_seconds()), 3) if started is not None else None


def _time(moment: datetime | None) -> str | None:
    return schemas.utc(moment) if moment is not None else None


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
