"""The progress of sessions: unified, live, and in its older form."""

import re
from http import HTTPStatus

from fastapi import APIRouter, Response

from triptych_gateway.api import schemas
from triptych_gateway.api.answers import EVENTS, EVENTS_WITH_END
from triptych_gateway.api.context import Context
from triptych_gateway.api.event_stream import event_stream, follow_all, follow_session
from triptych_gateway.api.parameters import Id, LastEventId
from triptych_gateway.catalog.sessions import jobs, sessions

router = APIRouter(prefix="/api/v1/training", tags=["progress"])

_EVENT_ID = re.compile("[0-9]{1,19}")


@router.get("/sessions/{session_id}/progress-unified", response_model=schemas.UnifiedProgress)
async def get_unified_progress(session_id: Id, context: Context) -> Response:
    """One honest progress over all three phases."""
    snapshot = await context.snapshots.get(session_id)
    return Response(snapshot.content, media_type="application/json")


def read_event_id(last_event_id: str | None) -> int:
    """What a reader has, by its Last-Event-ID; 0 for none, and for what this gateway never sent."""
    return int(last_event_id) if last_event_id and _EVENT_ID.fullmatch(last_event_id) else 0


@router.get("/sessions/{session_id}/progress-unified/stream", response_class=Response, responses=EVENTS_WITH_END)
async def stream_unified_progress(session_id: Id, context: Context, last_event_id: LastEventId = None) -> Response:
    """Server-Sent Events: the full snapshot, then one on each change; closes after a terminal one.

    A reader that has the terminal snapshot is told by 204 not to connect again.
    """
    # Decides the answer's status before the stream begins.
    snapshot, read = await context.snapshots.get(session_id), read_event_id(last_event_id)
    if snapshot.is_terminal and read == snapshot.revision:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return event_stream(follow_session(context.snapshots, session_id, after_revision=read))


@router.get("/progress/stream", response_class=Response, responses=EVENTS)
async def stream_all_progress(context: Context, last_event_id: LastEventId = None) -> Response:
    """Server-Sent Events: a snapshot of every session under way, then one on each change of any session."""
    return event_stream(follow_all(context.snapshots, after_microseconds=read_event_id(last_event_id)))


@router.get("/sessions/{session_id}/progress")
async def get_progress(session_id: Id, context: Context) -> schemas.LegacyProgress:
    """The older progress: training only."""
    snapshot = await context.snapshots.body(session_id)
    async with context.engine.connect() as connection:
        session = await sessions.get_session(connection, session_id)
        counts = await jobs.count_jobs(connection, session_id)
    return schemas.LegacyProgress(
        session_id=session_id,
        status=session.status,
        progress=snapshot.phases.training.progress,
        jobs_summary=schemas.JobsSummary(**counts),
    )
