"""Persons: who the library's faces are."""

from typing import Annotated

from fastapi import APIRouter, Query

from triptych_gateway.api import schemas
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import ApiError, errors
from triptych_gateway.api.parameters import Id, PageNumber, PageSize
from triptych_gateway.api.translation.faces import face_body, person_body
from triptych_gateway.catalog.people import corrections, faces, persons
from triptych_gateway.catalog.sessions import sessions

router = APIRouter(prefix="/api/v1/faces/persons", tags=["persons"])


@router.get("", responses=errors("not_found"))
async def list_persons(
    context: Context,
    *,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    status: Annotated[schemas.PersonFilter, Query(description="Only persons with this status.")] = "active",
    session_id: Annotated[
        int | None, Query(ge=1, le=schemas.MAX_ID, description="Only persons with a face in this session's photos.")
    ] = None,
    q: Annotated[
        schemas.Line | None, Query(max_length=persons.LONGEST_NAME, description="Any part of the name.")
    ] = None,
) -> schemas.Page[schemas.Person]:
    """Persons, those with most faces first.

    Who has no name is listed while one of their photos is there.
    """
    async with context.engine.connect() as connection:
        if session_id is not None:
            await sessions.get_session(connection, session_id)
        found, total = await persons.list_persons(
            connection,
            offset=(page - 1) * page_size,
            limit=page_size,
            status=None if status == "all" else status,
            session_id=session_id,
            name_part=(q or "").strip() or None,
        )
    return schemas.Page[schemas.Person].of(
        [person_body(person) for person in found], total=total, page=page, page_size=page_size
    )


@router.get("/{person_id}")
async def get_person(person_id: Id, context: Context) -> schemas.Person:
    """One person."""
    async with context.engine.connect() as connection:
        return person_body(await persons.get_person(connection, person_id))


@router.patch("/{person_id}", responses=errors("not_allowed_now"))
async def change_person(person_id: Id, body: schemas.PersonChange, context: Context) -> schemas.Person:
    """Name, hide or show a person, or choose the face that stands for them."""
    async with context.engine.begin() as connection:
        return person_body(await persons.change_person(connection, person_id, body.changes()))


@router.post("/{person_id}/merge")
async def merge_persons(person_id: Id, body: schemas.PersonMerge, context: Context) -> schemas.Person:
    """Make these persons one.

    The one with a name keeps its id; where several have one, or none has, the one with most faces; of equals this one.
    """
    if person_id in body.person_ids:
        raise ApiError("invalid_request", "A person cannot be merged with itself; name others in personIds.")
    async with context.engine.begin() as connection:
        return person_body(await corrections.merge_persons(connection, person_id, body.person_ids))


@router.post("/{person_id}/different")
async def keep_persons_apart(person_id: Id, body: schemas.PersonsApart, context: Context) -> schemas.Person:
    """Say that a person is none of these others: no later clustering puts their faces together.

    It holds until the two are merged.
    """
    if person_id in body.person_ids:
        raise ApiError("invalid_request", "A person cannot be another than itself; name others in personIds.")
    async with context.engine.begin() as connection:
        return person_body(await corrections.keep_apart(connection, person_id, body.person_ids))


@router.get("/{person_id}/different")
async def list_different_persons(
    person_id: Id, context: Context, page: PageNumber = 1, page_size: PageSize = 50
) -> schemas.Page[schemas.Person]:
    """Persons of whom somebody said that they are not this one, in the order of their ids."""
    async with context.engine.connect() as connection:
        await persons.get_person(connection, person_id)
        found, total = await persons.list_different(
            connection, person_id, offset=(page - 1) * page_size, limit=page_size
        )
    return schemas.Page[schemas.Person].of(
        [person_body(person) for person in found], total=total, page=page, page_size=page_size
    )


@router.get("/{person_id}/faces")
async def list_person_faces(
    person_id: Id, context: Context, page: PageNumber = 1, page_size: PageSize = 50
) -> schemas.Page[schemas.Face]:
    """A person's faces, in the order of their photos."""
    async with context.engine.connect() as connection:
        found, total = await faces.list_person_faces(
            connection, person_id, offset=(page - 1) * page_size, limit=page_size
        )
    return schemas.Page[schemas.Face].of(
        [face_body(face) for face in found], total=total, page=page, page_size=page_size
    )
