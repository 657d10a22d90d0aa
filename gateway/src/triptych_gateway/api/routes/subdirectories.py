"""The directories of a session, and which of them it walks."""

from typing import Annotated

from fastapi import APIRouter, Body

from triptych_gateway.api import schemas
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import ApiError, errors
from triptych_gateway.api.parameters import Id
from triptych_gateway.api.translation.directories import subdirectory_body
from triptych_gateway.catalog.library import directories
from triptych_gateway.catalog.sessions import sessions

router = APIRouter(prefix="/api/v1/training/sessions/{session_id}/subdirectories", tags=["training"])


@router.get("")
async def list_subdirectories(session_id: Id, context: Context) -> list[schemas.Subdirectory]:
    """The directories that were named for a session; its root where none were."""
    async with context.engine.connect() as connection:
        await sessions.get_session(connection, session_id)
        found = await directories.list_subdirectories(connection, session_id)
    return [subdirectory_body(directory) for directory in found]


@router.patch("", responses=errors("not_allowed_now"))
async def select_subdirectories(
    session_id: Id,
    choices: Annotated[list[schemas.SubdirectoryChoice], Body(min_length=1, max_length=10_000)],
    context: Context,
) -> list[schemas.Subdirectory]:
    """Choose which of its directories a session walks, until it is started; those that are not named stay."""
    async with context.engine.begin() as connection:
        try:
            await directories.select_subdirectories(
                connection, session_id, {choice.id: choice.selected for choice in choices}
            )
        except directories.NothingSelectedError as error:
            raise ApiError("invalid_request", "A session walks one directory at least: leave one selected.") from error
        found = await directories.list_subdirectories(connection, session_id)
    return [subdirectory_body(directory) for directory in found]
