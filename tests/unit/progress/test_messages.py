"""Translation between messages and the fold's types, for every phase and state, and for what is not known."""

import pytest

from triptych.v1 import progress_event_pb2, progress_pb2, work_pb2
from triptych_common.progress.evidence import Evidence, Timing
from triptych_progress.messages import report_from_wire, session_to_wire
from triptych_progress.reducer import BadReportError, CountsReport, Life, LifeReport, Phase, State
from triptych_progress.session import Session

_PHASES: dict[Phase, work_pb2.Phase.ValueType] = {
    "training": work_pb2.PHASE_TRAINING,
    "face_detection": work_pb2.PHASE_FACE_DETECTION,
    "clustering": work_pb2.PHASE_CLUSTERING,
}
_STATES: dict[State, progress_event_pb2.RunState.ValueType] = {
    "pending": progress_event_pb2.RUN_STATE_PENDING,
    "running": progress_event_pb2.RUN_STATE_RUNNING,
    "paused": progress_event_pb2.RUN_STATE_PAUSED,
    "completed": progress_event_pb2.RUN_STATE_COMPLETED,
    "failed": progress_event_pb2.RUN_STATE_FAILED,
    "cancelled": progress_event_pb2.RUN_STATE_CANCELLED,
}
_SECOND = 1_000_000


def _event(
    phase: work_pb2.Phase.ValueType = work_pb2.PHASE_TRAINING,
    state: progress_event_pb2.RunState.ValueType = progress_event_pb2.RUN_STATE_RUNNING,
) -> progress_event_pb2.ProgressEvent:
    return progress_event_pb2.ProgressEvent(
        session_id=7,
        phase=phase,
        run=2,
        lifecycle=progress_event_pb2.Lifecycle(
            epoch=3,
            step=4,
            state=state,
            total=100,
            skipped=10,
            weight=0.25,
            evidence=progress_event_pb2.RunEvidence(
                history=[progress_event_pb2.Timing(items=4, seconds=2)],
                probe=[progress_event_pb2.Timing(items=1, seconds=3)],
                expected_items=120,
                expected_items_spread=0.5,
            ),
            error=progress_event_pb2.RunError(code="disk_full", message="No room."),
        ),
    )


def _by_translation(event: progress_event_pb2.ProgressEvent) -> progress_pb2.SessionProgress:
    session = Session()
    session.apply(report_from_wire(event), time_microseconds=5 * _SECOND)
    return session_to_wire(7, session)


def test_every_phase_and_state_of_the_wire_is_known() -> None:
    assert set(_PHASES.values()) == set(work_pb2.Phase.values()) - {work_pb2.PHASE_UNSPECIFIED}
    assert set(_STATES.values()) == set(progress_event_pb2.RunState.values()) - {
        progress_event_pb2.RUN_STATE_UNSPECIFIED
    }


@pytest.mark.parametrize(("phase", "wire"), _PHASES.items())
def test_phases_there_and_back(phase: Phase, wire: work_pb2.Phase.ValueType) -> None:
    assert report_from_wire(_event(phase=wire)).phase == phase
    parts = _by_translation(_event(phase=wire)).phases
    assert [part.phase for part in parts] == list(_PHASES.values())
    assert [part.run for part in parts] == [2 if one == phase else 0 for one in _PHASES]


@pytest.mark.parametrize(("state", "wire"), _STATES.items())
def test_states_there_and_back(state: State, wire: progress_event_pb2.RunState.ValueType) -> None:
    report = report_from_wire(_event(state=wire))
    assert isinstance(report, LifeReport)
    assert report.life.state == state
    assert _by_translation(_event(state=wire)).phases[0].state == wire


def test_lifecycle_arrives_with_all_it_says() -> None:
    assert report_from_wire(_event()) == LifeReport(
        session_id=7,
        phase="training",
        run=2,
        life=Life(
            epoch=3,
            step=4,
            state="running",
            total=100,
            skipped=10,
            weight=0.25,
            evidence=Evidence(
                history=(Timing(4, 2),), probe=(Timing(1, 3),), expected_items=120, expected_items_spread=0.5
            ),
            error_code="disk_full",
            error_message="No room.",
        ),
    )


def test_counts_arrive_with_all_they_say() -> None:
    event = progress_event_pb2.ProgressEvent(
        session_id=7,
        phase=work_pb2.PHASE_CLUSTERING,
        run=2,
        unit="clustering",
        counts=progress_event_pb2.UnitCounts(done=3, failed=1, total=9, stage="tree"),
    )
    assert report_from_wire(event) == CountsReport(
        session_id=7, phase="clustering", run=2, unit="clustering", done=3, failed=1, total=9, stage="tree"
    )


def test_counts_at_the_limit_of_the_wire_are_told_as_bad_not_shown() -> None:
    event = progress_event_pb2.ProgressEvent(
        session_id=7,
        phase=work_pb2.PHASE_TRAINING,
        run=1,
        unit="shard-0",
        counts=progress_event_pb2.UnitCounts(done=2**64 - 1, total=2**64 - 1),
    )
    with pytest.raises(BadReportError):
        Session().apply(report_from_wire(event), time_microseconds=1)


@pytest.mark.parametrize("phase", [work_pb2.PHASE_UNSPECIFIED, 99])
def test_an_unknown_phase_is_told(phase: work_pb2.Phase.ValueType) -> None:
    with pytest.raises(BadReportError, match="phase"):
        report_from_wire(_event(phase=phase))


@pytest.mark.parametrize("state", [progress_event_pb2.RUN_STATE_UNSPECIFIED, 99])
def test_an_unknown_state_is_told(state: progress_event_pb2.RunState.ValueType) -> None:
    with pytest.raises(BadReportError, match="state"):
        report_from_wire(_event(state=state))


def test_an_event_that_reports_nothing_is_told() -> None:
    with pytest.raises(BadReportError, match="without a report"):
        report_from_wire(progress_event_pb2.ProgressEvent(session_id=7, phase=work_pb2.PHASE_TRAINING, run=1))


def test_a_session_as_a_message_says_all_that_is_known() -> None:
    session = Session()
    session.apply(report_from_wire(_event()), time_microseconds=5 * _SECOND)
    counts = CountsReport(session_id=7, phase="training", run=2, unit="shard-0", done=19, failed=1, total=20)
    session.apply(counts, time_microseconds=15 * _SECOND)
    message = session_to_wire(7, session)
    assert (message.session_id, message.revision) == (7, 15 * _SECOND)
    assert message.updated_at.ToMicroseconds() == 15 * _SECOND
    training = message.phases[0]
    assert (training.done, training.failed, training.skipped, training.total) == (19, 1, 10, 100)
    assert (training.weight, training.items_per_second) == (0.25, 2.0)
    assert (training.error.code, training.error.message) == ("disk_full", "No room.")
    expected = session.outlook().phases["training"]
    assert expected is not None
    assert training.eta_seconds == expected.seconds
    assert (training.HasField("eta_low_seconds"), training.HasField("eta_high_seconds")) == (False, False)
    assert message.percentage == 7.5


def test_what_is_not_known_is_absent() -> None:
    message = session_to_wire(7, Session())
    assert not message.HasField("eta_seconds")
    for part in message.phases:
        for field in ("items_per_second", "eta_seconds", "eta_low_seconds", "eta_high_seconds", "error"):
            assert not part.HasField(field)
        assert part.state == progress_event_pb2.RUN_STATE_UNSPECIFIED
