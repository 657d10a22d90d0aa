"""Progress events as a correct system sends them, their way into the stream, and what they add up to."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator

import nats
from nats.js import JetStreamContext

from triptych.v1 import progress_event_pb2, progress_pb2, work_pb2
from triptych_common.progress.events import ALL_SUBJECTS, PHASES_BY_NAME, STREAM, PhaseValue, subject_of
from triptych_progress.messages import report_from_wire, session_to_wire
from triptych_progress.reducer import PHASES
from triptych_progress.session import Session

PENDING = progress_event_pb2.RUN_STATE_PENDING
RUNNING = progress_event_pb2.RUN_STATE_RUNNING
PAUSED = progress_event_pb2.RUN_STATE_PAUSED
COMPLETED = progress_event_pb2.RUN_STATE_COMPLETED
FAILED = progress_event_pb2.RUN_STATE_FAILED
CANCELLED = progress_event_pb2.RUN_STATE_CANCELLED

TRAINING = work_pb2.PHASE_TRAINING
WEIGHTS = dict(zip((PHASES_BY_NAME[phase] for phase in PHASES), (0.3, 0.65, 0.05), strict=True))
SHARD_SIZE = 10
_REQUEST_SECONDS = 10
_steps = itertools.count(1)


def life(
    state: progress_event_pb2.RunState.ValueType = RUNNING,
    *,
    phase: PhaseValue = TRAINING,
    session_id: int = 1,
    run: int = 1,
    total: int = 100,
) -> progress_event_pb2.ProgressEvent:
    """A change in a run's life; each one made is later than those made before."""
    return progress_event_pb2.ProgressEvent(
        session_id=session_id,
        phase=phase,
        run=run,
        source="pipeline",
        lifecycle=progress_event_pb2.Lifecycle(
            epoch=1, step=next(_steps), state=state, total=total, weight=WEIGHTS[phase]
        ),
    )


def counts(
    ordinal: int,
    done: int = SHARD_SIZE,
    *,
    failed: int = 0,
    total: int = SHARD_SIZE,
    phase: PhaseValue = TRAINING,
    session_id: int = 1,
    run: int = 1,
) -> progress_event_pb2.ProgressEvent:
    """Counts of a shard, of SHARD_SIZE items unless told otherwise."""
    return progress_event_pb2.ProgressEvent(
        session_id=session_id,
        phase=phase,
        run=run,
        source="embedder",
        unit=f"shard-{ordinal}",
        counts=progress_event_pb2.UnitCounts(done=done, failed=failed, total=total),
    )


def whole_session(session_id: int = 1, *, shards: int = 2) -> Iterator[progress_event_pb2.ProgressEvent]:
    """A session from its announcement to its end: every phase completed, one item of each photo phase failed."""
    total = shards * SHARD_SIZE
    for phase in WEIGHTS:
        yield life(PENDING, phase=phase, session_id=session_id, total=total)
    for phase in WEIGHTS:
        yield life(phase=phase, session_id=session_id, total=total)
        if phase != work_pb2.PHASE_CLUSTERING:
            for ordinal in range(shards):
                yield counts(ordinal, SHARD_SIZE // 2, phase=phase, session_id=session_id)
                failed = int(ordinal == 0)
                yield counts(ordinal, SHARD_SIZE - failed, failed=failed, phase=phase, session_id=session_id)
        yield life(COMPLETED, phase=phase, session_id=session_id, total=total)


@contextlib.asynccontextmanager
async def jetstream_at(nats_url: str) -> AsyncIterator[JetStreamContext]:
    """A connection of the test's own to NATS as it runs now."""
    client = await nats.connect(nats_url, allow_reconnect=False)
    try:
        yield client.jetstream(timeout=_REQUEST_SECONDS)
    finally:
        await client.close()


async def publish(nats_url: str, *events: progress_event_pb2.ProgressEvent) -> None:
    """Publish events one after the other; the stream has acknowledged each."""
    async with jetstream_at(nats_url) as jetstream:
        for event in events:
            await jetstream.publish(subject_of(event.session_id, event.phase), event.SerializeToString())


async def folded(nats_url: str) -> dict[int, progress_pb2.SessionProgress]:
    """What everything in the stream adds up to by a plain fold, one event after the other; by session."""
    sessions: dict[int, Session] = {}
    async with jetstream_at(nats_url) as jetstream:
        waiting = (await jetstream.stream_info(STREAM)).state.messages
        reader = await jetstream.subscribe(ALL_SUBJECTS, stream=STREAM, ordered_consumer=True)
        for _ in range(waiting):
            message = await reader.next_msg(timeout=_REQUEST_SECONDS)
            report = report_from_wire(progress_event_pb2.ProgressEvent.FromString(message.data))
            session = sessions.setdefault(report.session_id, Session())
            session.apply(report, time_microseconds=int(message.reply.split(".")[7]) // 1000)
        await reader.unsubscribe()
    return {session_id: session_to_wire(session_id, session) for session_id, session in sessions.items()}
