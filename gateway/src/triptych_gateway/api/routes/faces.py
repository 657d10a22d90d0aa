"""Faces and what people say of them, groups of faces, and their pictures."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from triptych_gateway.api import schemas
from triptych_gateway.api.answers import PICTURE
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import errors
from triptych_gateway.api.parameters import MOST_ITEMS, Id, PageNumber, PageSize
from triptych_gateway.api.routes.images import jpeg_response
from triptych_gateway.api.translation.faces import face_body, group_body, group_detail_body
from triptych_gateway.catalog.people import corrections, faces, groups
from triptych_gateway.catalog.sessions import sessions

router = APIRouter(prefix="/api/v1/faces", tags=["faces"])


@router.get("/clusters", responses=errors("not_found"))
async def list_groups(
    context: Context,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    session_id: Annotated[
        int | None, Query(ge=1, le=schemas.MAX_ID, description="Only groups with a face in this session's photos.")
    ] = None,
) -> schemas.Page[schemas.Group]:
    """Groups of the library's faces, largest first."""
    async with context.engine.connect() as connection:
        if session_id is not None:
            await sessions.get_session(connection, session_id)
        found, total = await groups.list_groups(
            connection, session_id=session_id, offset=(page - 1) * page_size, limit=page_size
        )
    return schemas.Page[schemas.Group].of(
        [group_body(group) for group in found], total=total, page=page, page_size=page_size
    )


@router.get("/clusters/{group_id}")
async def get_group(
    group_id: Id, context: Context, page: PageNumber = 1, page_size: PageSize = MOST_ITEMS
) -> schemas.GroupDetail:
    """One group with its faces, strongest members first, page by page."""
    async with context.engine.connect() as connection:
        group = await groups.get_group(connection, group_id)
        found = await faces.list_group_faces(
            connection, group_id, offset=(page - 1) * page_size, limit=page_size, total=group.face_count
        )
    return group_detail_body(group, found, page=page, page_size=page_size)


@router.get("/unassigned")
async def list_unassigned(
    context: Context, page: PageNumber = 1, page_size: PageSize = 50
) -> schemas.Page[schemas.Face]:
    """Faces that clustering put in no group and that nobody named."""
    async with context.engine.connect() as connection:
        found, total = await faces.list_unassigned(connection, offset=(page - 1) * page_size, limit=page_size)
    return schemas.Page[schemas.Face].of(
        [face_body(face) for face in found], total=total, page=page, page_size=page_size
    )


@router.post("/{face_id}/person", responses=errors("not_allowed_now"))
async def set_person(face_id: Id, body: schemas.FacePerson, context: Context) -> schemas.Face:
    """Say that this face is that person, or a new one where none is named; every later clustering keeps to it."""
    async with context.engine.begin() as connection:
        return face_body(await corrections.say_who(connection, face_id, body.person_id))


@router.delete("/{face_id}/person", responses=errors("not_allowed_now"))
async def unset_person(face_id: Id, context: Context) -> schemas.Face:
    """Say that this face is not the person that it is shown as; every later clustering keeps to it."""
    async with context.engine.begin() as connection:
        return face_body(await corrections.say_who_not(connection, face_id))


@router.get("/{face_id}/crop", response_class=Response, responses=PICTURE | errors("image_unreadable", "service_away"))
async def get_crop(face_id: Id, request: Request, context: Context) -> Response:
    """A square picture around a face."""
    async with context.engine.connect() as connection:
        face = await faces.get_face(connection, face_id)
    return await jpeg_response(request, context.pictures.crop(face))
