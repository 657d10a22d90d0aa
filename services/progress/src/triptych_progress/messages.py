"""Translation between progress messages and the fold's own types."""

from collections import OrderedDict
from typing import Final, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from triptych.v1 import progress_event_pb2, progress_pb2
from triptych_common.progress.events import PHASE_NAMES, PHASES_BY_NAME
from triptych_common.progress.evidence import evidence_from_wire
from triptych_progress.reducer import (
    PHASES,
    BadReportError,
    CountsReport,
    Life,
    LifeReport,
    Phase,
    Report,
    State,
)
from triptych_progress.session import Session

_WireState: TypeAlias = "progress_event_pb2.RunState.ValueType"

_STATES: Final[dict[int, State]] = {
    progress_event_pb2.RUN_STATE_PENDING: "pending",
    progress_event_pb2.RUN_STATE_RUNNING: "running",
    progress_event_pb2.RUN_STATE_PAUSED: "paused",
    progress_event_pb2.RUN_STATE_COMPLETED: "completed",
    progress_event_pb2.RUN_STATE_FAILED: "failed",
    progress_event_pb2.RUN_STATE_CANCELLED: "cancelled",
}
_STATES_TO_WIRE: Final[dict[State, _WireState]] = {
    "pending": progress_event_pb2.RUN_STATE_PENDING,
    "running": progress_event_pb2.RUN_STATE_RUNNING,
    "paused": progress_event_pb2.RUN_STATE_PAUSED,
    "completed": progress_event_pb2.RUN_STATE_COMPLETED,
    "failed": progress_event_pb2.RUN_STATE_FAILED,
    "cancelled": progress_event_pb2.RUN_STATE_CANCELLED,
}
_MOST_MESSAGES: Final = 20_000
_PHASES: Final[dict[str, Phase]] = {phase: phase for phase in PHASES}


def report_from_wire(event: progress_event_pb2.ProgressEvent) -> Report:
    """The report of an event. Raises BadReportError for a phase, state or kind that is not known."""
    phase = _PHASES.get(PHASE_NAMES.get(event.phase, ""))
    if phase is None:
        raise BadReportError(f"unknown phase {event.phase}")
    kind = event.WhichOneof("report")
    if kind == "counts":
        counts = event.counts
        return CountsReport(
            event.session_id, phase, event.run, event.unit, counts.done, counts.failed, counts.total, counts.stage
        )
    if kind == "lifecycle":
        return LifeReport(session_id=event.session_id, phase=phase, run=event.run, life=_life(event.lifecycle))
    raise BadReportError("an event without a report")


def _life(lifecycle: progress_event_pb2.Lifecycle) -> Life:
    state = _STATES.get(lifecycle.state)
    if state is None:
        raise BadReportError(f"unknown state {lifecycle.state}")
    return Life(
        epoch=lifecycle.epoch,
        step=lifecycle.step,
        state=state,
        total=lifecycle.total,
        skipped=lifecycle.skipped,
        weight=lifecycle.weight,
        evidence=evidence_from_wire(lifecycle.evidence),
        error_code=lifecycle.error.code,
        error_message=lifecycle.error.message,
    )


class SessionMessages:
    """The messages of sessions, made once per revision for all who ask."""

    def __init__(self) -> None:
        self._newest: OrderedDict[int, progress_pb2.SessionProgress] = OrderedDict()

    def of(self, session_id: int, session: Session) -> progress_pb2.SessionProgress:
        """The message for a session as it stands now; not to be changed."""
        message = self._newest.get(session_id)
        if message is None or message.revision != session.revision:
            message = self._newest[session_id] = session_to_wire(session_id, session)
        self._newest.move_to_end(session_id)
        while len(self._newest) > _MOST_MESSAGES:
            self._newest.popitem(last=False)
        return message


def session_to_wire(session_id: int, session: Session) -> progress_pb2.SessionProgress:
    """The message for a session as it stands now."""
    outlook = session.outlook()
    message = progress_pb2.SessionProgress(
        session_id=session_id,
        revision=session.revision,
        percentage=session.percentage(),
        updated_at=_timestamp(session.revision),
    )
    overall = outlook.overall
    if overall is not None:
        message.eta_seconds = overall.seconds
        if overall.low_seconds is not None and overall.high_seconds is not None:
            message.eta_low_seconds, message.eta_high_seconds = overall.low_seconds, overall.high_seconds
    for phase in PHASES:
        run = session.state.phases[phase]
        counts = run.counts()
        part = message.phases.add(
            phase=PHASES_BY_NAME[phase],
            run=run.run,
            done=counts.done,
            failed=counts.failed,
            skipped=counts.skipped,
            total=counts.total,
            stage=run.stage(),
        )
        if run.life is not None:
            part.state = _STATES_TO_WIRE[run.life.state]
            part.weight = run.life.weight
            if run.life.error_code:
                part.error.code, part.error.message = run.life.error_code, run.life.error_message
        clock = session.clocks.get(phase)
        if clock is not None and clock.rate is not None:
            part.items_per_second = clock.rate
        stalled_since = session.stalled_since(phase)
        if stalled_since is not None:
            part.stalled_since.FromMicroseconds(stalled_since)
        expected = outlook.phases[phase]
        if expected is not None:
            part.eta_seconds = expected.seconds
            if expected.low_seconds is not None and expected.high_seconds is not None:
                part.eta_low_seconds, part.eta_high_seconds = expected.low_seconds, expected.high_seconds
    return message


def _timestamp(microseconds: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMicroseconds(microseconds)
    return timestamp
