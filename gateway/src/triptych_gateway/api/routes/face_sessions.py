"""Face sessions: the face-detection phase of training sessions, listed, asked for, and as a stream."""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.api import schemas
from triptych_gateway.api.answers import EVENTS_WITH_END
from triptych_gateway.api.context import ApiContext, Context
from triptych_gateway.api.errors import errors
from triptych_gateway.api.event_stream import event_stream, follow
from triptych_gateway.api.parameters import Id, LastEventId, PageNumber, PageSize
from triptych_gateway.api.translation.face_sessions import face_session_body, face_session_event
from triptych_gateway.catalog.sessions import changes, face_sessions, sessions
from triptych_gateway.catalog.sessions.face_sessions import FaceSession

router = APIRouter(prefix="/api/v1/faces/sessions", tags=["faces"])


@router.get("", responses=errors("not_found"))
async def list_face_sessions(
    context: Context,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    training_session_id: Annotated[
        int | None, Query(ge=1, le=schemas.MAX_ID, description="Only that of this training session.")
    ] = None,
) -> schemas.Page[schemas.FaceSession]:
    """Face sessions, newest first. A training session from before faces were looked for has none."""
    async with context.engine.connect() as connection:
        if training_session_id is not None:
            await sessions.get_session(connection, training_session_id)
        found, total = await face_sessions.list_face_sessions(
            connection, session_id=training_session_id, offset=(page - 1) * page_size, limit=page_size
        )
        bodies = await _bodies(context, connection, found)
    return schemas.Page[schemas.FaceSession].of(bodies, total=total, page=page, page_size=page_size)


async def _bodies(
    context: ApiContext, connection: AsyncConnection, found: Sequence[FaceSession]
) -> list[schemas.FaceSession]:
    """Bodies of those whose training session was not deleted meanwhile."""
    rows = await changes.load(connection, [one.session_id for one in found])
    there = [one for one in found if one.session_id in rows]
    progress = await context.snapshots.bodies([rows[one.session_id] for one in there])
    return [face_session_body(*both) for both in zip(there, progress, strict=True)]


@router.get("/{face_session_id}")
async def get_face_session(face_session_id: Id, context: Context) -> schemas.FaceSession:
    """One face session."""
    async with context.engine.connect() as connection:
        stored = await face_sessions.get_face_session(connection, face_session_id)
    return face_session_body(stored, await context.snapshots.body(stored.session_id))


@router.get("/{face_session_id}/events", response_class=Response, responses=EVENTS_WITH_END)
async def stream_face_session(face_session_id: Id, context: Context, last_event_id: LastEventId = None) -> Response:
    """Server-Sent Events: the face session as it is, then on each change (`progress`); closes when it ends.

    It ends with `complete`, or with `error` where it failed, was cancelled, or its training session ended without it.
    Assigned faces are counted when the stream begins: clustering follows this phase. A reader that has the last event
    is told by 204 not to connect again.
    """
    async with context.engine.connect() as connection:
        stored = await face_sessions.get_face_session(connection, face_session_id)
    event_of = partial(face_session_event, stored)
    # Decides the answer's status before the stream begins.
    event = event_of(await context.snapshots.get(stored.session_id))
    if event.is_last and event.id == last_event_id:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return event_stream(
        follow(context.snapshots, stored.session_id, event_of=event_of, last_event_id=last_event_id or "")
    )
