"""Training sessions: create, list, get, change, delete, what could not be read, and who changed."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request

from triptych_common.media.locations import MediaRoots
from triptych_gateway.api import schemas
from triptych_gateway.api.access.audit_log import SUBJECT
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import ApiError, errors
from triptych_gateway.api.parameters import Id, PageNumber, PageSize
from triptych_gateway.api.paths import allowed_directory, below
from triptych_gateway.api.translation.sessions import changed_person_body, problem_body, session_body
from triptych_gateway.catalog.clustering import changed_persons
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.sessions import session_edits, sessions
from triptych_gateway.pipeline.discovery.listing import normalised_extension

router = APIRouter(prefix="/api/v1/training/sessions", tags=["training"])


@router.post(
    "",
    status_code=201,
    responses=errors(
        "path_not_allowed",
        "directory_not_found",
        "directory_not_readable",
        "not_a_directory",
        "not_found",
        "service_away",
    ),
)
async def create_session(body: schemas.SessionCreate, request: Request, context: Context) -> schemas.Session:
    """Create a session over a directory of photos; it waits until it is started."""
    root, chosen = await asyncio.to_thread(_allowed_directories, body, context.roots)
    config = body.config.model_dump(by_alias=False)
    config["extensions"] = _extensions(config["extensions"])
    async with context.engine.begin() as connection:
        session_id = await sessions.create_session(
            connection,
            name=body.name,
            root_path=root,
            directories=chosen,
            config=config,
            weights=context.settings.weights,
            category_id=body.category_id,
            shard_size=body.config.batch_size or context.settings.shard_size,
        )
        request.scope[SUBJECT] = {"session_id": session_id}
        return session_body(await sessions.get_session(connection, session_id))


def _allowed_directories(body: schemas.SessionCreate, roots: MediaRoots) -> tuple[bytes, list[bytes]]:
    """The root and the chosen directories. Raises ApiError."""
    root = allowed_directory(body.root_path, roots)
    chosen = [allowed_directory(below(body.root_path, one), roots) for one in body.subdirectories]
    if any(one != root and not one.startswith(root.rstrip(b"/") + b"/") for one in chosen):
        raise ApiError("path_not_allowed", "A chosen subdirectory is not under the session's root path.")
    return root, chosen


def _extensions(named: list[str] | None) -> list[str] | None:
    return [normalised_extension(one) for one in named or []] or None


@router.get("")
async def list_sessions(
    context: Context,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    status: Annotated[schemas.SessionStatus | None, Query(description="Only sessions with this status.")] = None,
) -> schemas.Page[schemas.Session]:
    """Sessions, newest first."""
    async with context.engine.connect() as connection:
        found, total = await sessions.list_sessions(
            connection, offset=(page - 1) * page_size, limit=page_size, status=status
        )
    return schemas.Page[schemas.Session].of(
        [session_body(session) for session in found], total=total, page=page, page_size=page_size
    )


@router.get("/{session_id}")
async def get_session(session_id: Id, context: Context) -> schemas.Session:
    """One session."""
    async with context.engine.connect() as connection:
        return session_body(await sessions.get_session(connection, session_id))


@router.patch("/{session_id}", responses=errors("not_allowed_now"))
async def change_session(session_id: Id, body: schemas.SessionChange, context: Context) -> schemas.Session:
    """Give a session another name, or change its config, which can be done until it is started."""
    changes = body.changes()
    config = changes.get("config", {})
    if "extensions" in config:
        config["extensions"] = _extensions(config["extensions"])
    async with context.engine.begin() as connection:
        session = await session_edits.change_session(
            connection,
            session_id,
            name=changes.get("name"),
            config=config,
            default_shard_size=context.settings.shard_size,
        )
    await context.snapshots.refresh(session_id)
    return session_body(session)


@router.delete("/{session_id}", status_code=HTTPStatus.NO_CONTENT, responses=errors("not_allowed_now"))
async def delete_session(session_id: Id, context: Context) -> None:
    """Delete a session that is not running. Its photos, and all that was found in them, stay."""
    async with context.engine.begin() as connection:
        await session_edits.delete_session(connection, session_id)
    context.scheduler.halt(session_id)
    await context.snapshots.refresh(session_id)


@router.get("/{session_id}/problems")
async def list_problems(
    session_id: Id,
    context: Context,
    page: PageNumber = 1,
    page_size: PageSize = 50,
) -> schemas.Page[schemas.Problem]:
    """Folders and files that discovery could not read."""
    async with context.engine.connect() as connection:
        await sessions.get_session(connection, session_id)
        found, total = await photos.list_problems(
            connection, session_id, offset=(page - 1) * page_size, limit=page_size
        )
    return schemas.Page[schemas.Problem].of(
        [problem_body(problem) for problem in found], total=total, page=page, page_size=page_size
    )


@router.get("/{session_id}/changed-persons")
async def list_changed_persons(
    session_id: Id,
    context: Context,
    page: PageNumber = 1,
    page_size: PageSize = 50,
) -> schemas.Page[schemas.ChangedPerson]:
    """Persons with a name whom the session's latest clustering split, merged into others, or left without a group."""
    async with context.engine.connect() as connection:
        await sessions.get_session(connection, session_id)
        found, total = await changed_persons.list_changed_persons(
            connection, session_id, offset=(page - 1) * page_size, limit=page_size
        )
    return schemas.Page[schemas.ChangedPerson].of(
        [changed_person_body(one) for one in found], total=total, page=page, page_size=page_size
    )
