"""The progress of a session: unified, live, and in its older form."""

import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from triptych_gateway.api import schemas
from triptych_gateway.api.aliases import with_aliases
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import ERROR_STATUSES
from triptych_gateway.api.routes.sessions import Id
from triptych_gateway.api.snapshots import TERMINAL, follow_snapshots, take_snapshot
from triptych_gateway.catalog import photos, sessions

router = APIRouter(prefix="/api/v1/training/sessions/{session_id}", tags=["progress"])

# FastAPI would describe errors as streams too.
_ERRORS_AS_JSON: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schemas.Error.__name__}"}}},
    }
    for status in ERROR_STATUSES
}
_REVISION = re.compile("[0-9]{1,19}")
_EVENTS = {"completed": "complete", "failed": "error", "cancelled": "error"}


@router.get("/progress-unified", response_model=schemas.UnifiedProgress)
async def get_unified_progress(session_id: Id, context: Context) -> JSONResponse:
    """One honest progress over all three phases."""
    return JSONResponse(with_aliases(await take_snapshot(context, session_id)))


async def _first_snapshot(
    session_id: Id, context: Context, last_event_id: Annotated[str | None, Header()] = None
) -> tuple[schemas.UnifiedProgress, int]:
    """The snapshot that decides the answer's status before a stream begins, and the revision already read."""
    return await take_snapshot(context, session_id), read_revision(last_event_id)


def read_revision(last_event_id: str | None) -> int:
    """The revision that a reader has, by its Last-Event-ID; 0 for none, and for what this gateway never sent."""
    return int(last_event_id) if last_event_id and _REVISION.fullmatch(last_event_id) else 0


class NothingNew(Exception):  # noqa: N818 - no error: the reader has everything
    """The reader has the terminal snapshot already: 204 tells it not to connect again."""


async def _not_over(first: Annotated[tuple[schemas.UnifiedProgress, int], Depends(_first_snapshot)]) -> int:
    snapshot, read = first
    if snapshot.overall_status in TERMINAL and read == snapshot.revision:
        raise NothingNew
    return read


async def answer_nothing_new(_: Any, __: Exception) -> Response:
    """204 for a reader that has everything."""
    return Response(status_code=204)


@router.get(
    "/progress-unified/stream",
    response_class=EventSourceResponse,
    responses={204: {"description": "The reader has the terminal snapshot already."}, **_ERRORS_AS_JSON},
)
async def stream_unified_progress(
    session_id: Id, context: Context, read: Annotated[int, Depends(_not_over)]
) -> AsyncIterator[ServerSentEvent]:
    """Server-Sent Events: the full snapshot, then one on each change; closes after a terminal one."""
    async for snapshot in follow_snapshots(context, session_id, after_revision=read):
        yield ServerSentEvent(
            data=with_aliases(snapshot),
            event=_EVENTS.get(snapshot.overall_status, "progress"),
            id=str(snapshot.revision),
        )


@router.get("/progress")
async def get_progress(session_id: Id, context: Context) -> schemas.LegacyProgress:
    """The older progress: training only."""
    snapshot = await take_snapshot(context, session_id)
    async with context.engine.connect() as connection:
        session = await sessions.get_session(connection, session_id)
        jobs = await photos.count_jobs(connection, session_id)
    return schemas.LegacyProgress(
        session_id=session_id,
        status=session.status,
        progress=snapshot.phases.training.progress,
        jobs_summary=schemas.JobsSummary(**jobs),
    )
