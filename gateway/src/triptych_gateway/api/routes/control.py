"""The buttons of a session: start, pause, resume, cancel, and the restarts of its phases."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.api import schemas
from triptych_gateway.api.aliases import with_restart_aliases
from triptych_gateway.api.context import ApiContext, Context
from triptych_gateway.api.errors import errors
from triptych_gateway.api.parameters import Id
from triptych_gateway.catalog.people import persons
from triptych_gateway.catalog.sessions import control, jobs
from triptych_gateway.catalog.sessions.control import Phase
from triptych_gateway.catalog.states import SessionStatus

router = APIRouter(
    prefix="/api/v1/training/sessions/{session_id}", tags=["training"], responses=errors("not_allowed_now")
)


@router.post("/start")
async def start_session(session_id: Id, context: Context) -> schemas.SessionAction:
    """Set a session going, or let it go on with what is left; pressing twice does no harm."""
    return await _press(context, session_id, control.start_session, "The session is running.")


@router.post("/resume")
async def resume_session(session_id: Id, context: Context) -> schemas.SessionAction:
    """Let a paused session go on where it stood."""
    return await _press(context, session_id, control.resume_session, "The session is running.")


@router.post("/pause")
async def pause_session(session_id: Id, context: Context) -> schemas.SessionAction:
    """Halt a session; `resume` or `start` lets it go on where it stood."""
    return await _press(context, session_id, control.pause_session, "The session is paused; nothing is lost.")


@router.post("/cancel")
async def cancel_session(session_id: Id, context: Context) -> schemas.SessionAction:
    """End a session. What is done stays, and `start` goes on with the rest."""
    answer = await _press(context, session_id, control.cancel_session, "")
    async with context.engine.connect() as connection:
        counts = await jobs.count_jobs(connection, session_id)
    done = counts.get("completed", 0) + counts.get("skipped", 0)
    answer.message = f"The session is cancelled. {done} of {sum(counts.values())} photos are embedded and stay so."
    return answer


@router.post("/restart-training")
async def restart_training(
    session_id: Id,
    context: Context,
    failed_only: Annotated[bool, Query(description="Only photos that failed; false for all of them.")] = True,
) -> schemas.Restart:
    """Train on the session's photos again; the present embeddings are used until the new ones are whole."""
    return await _restart(context, session_id, "training", failed_only=failed_only)


@router.post("/restart-faces")
async def restart_faces(
    session_id: Id,
    context: Context,
    delete_persons: Annotated[
        bool, Query(description="Make the persons in the session's photos anew: their names and corrections go.")
    ] = False,
) -> schemas.Restart:
    """Look for the faces in the session's photos again; the present ones are shown until the new ones are grouped."""
    return await _restart(context, session_id, "face_detection", forget_persons=delete_persons)


@router.post("/restart-clustering")
async def restart_clustering(session_id: Id, context: Context) -> schemas.Restart:
    """Group the library's faces again; the present groups are shown until then."""
    return await _restart(context, session_id, "clustering")


async def _press(
    context: ApiContext,
    session_id: int,
    button: Callable[[AsyncConnection, int], Awaitable[SessionStatus]],
    message: str,
) -> schemas.SessionAction:
    async with context.engine.begin() as connection:
        status = await button(connection, session_id)
    await _tell(context, session_id, status)
    return schemas.SessionAction(session_id=session_id, status=status, message=message)


async def _restart(
    context: ApiContext, session_id: int, phase: Phase, *, failed_only: bool = False, forget_persons: bool = False
) -> schemas.Restart:
    began = time.monotonic()
    async with context.engine.begin() as connection:
        restarted = await control.restart_phase(
            connection, session_id, phase, failed_only=failed_only, forget_persons=forget_persons
        )
        deleted = await persons.count_session_persons(connection, session_id) if forget_persons else 0
    await _tell(context, session_id, "running")
    stats = schemas.CleanupStats(
        operation=control.RESTART_OPERATIONS[phase],
        session_id=session_id,
        items_deleted=deleted,
        items_reset=restarted.items_reset,
        items_preserved=restarted.items_preserved,
        duration_ms=round((time.monotonic() - began) * 1000),
    )
    message = _message(phase, restarted, deleted=deleted)
    return with_restart_aliases(session_id=session_id, message=message, stats=stats)


def _message(phase: Phase, restarted: control.Restarted, *, deleted: int) -> str:
    what = "faces" if phase == "clustering" else "photos"
    sentence = f"{restarted.items_reset} {what} are worked on again; until then the present results are shown."
    return f"{sentence} {deleted} persons will be made anew." if deleted else sentence


async def _tell(context: ApiContext, session_id: int, status: SessionStatus) -> None:
    """Let the pipeline and the readers of this gateway know at once."""
    if status == "running":
        context.scheduler.wake()
    else:
        context.scheduler.halt(session_id)
    await context.snapshots.refresh(session_id)
