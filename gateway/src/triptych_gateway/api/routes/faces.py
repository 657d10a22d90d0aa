"""Groups of faces, and their pictures."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from triptych_gateway.api import schemas
from triptych_gateway.api.context import Context
from triptych_gateway.api.parameters import Id, PageNumber, PageSize
from triptych_gateway.api.routes.images import jpeg_response
from triptych_gateway.api.translation.faces import group_body, group_detail_body
from triptych_gateway.catalog import faces, sessions

router = APIRouter(prefix="/api/v1/faces", tags=["faces"])


@router.get("/clusters")
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
        found, total = await faces.list_groups(
            connection, session_id=session_id, offset=(page - 1) * page_size, limit=page_size
        )
    return schemas.Page[schemas.Group].of(
        [group_body(group) for group in found], total=total, page=page, page_size=page_size
    )


@router.get("/clusters/{group_id}")
async def get_group(group_id: Id, context: Context) -> schemas.GroupDetail:
    """One group with all its faces."""
    async with context.engine.connect() as connection:
        return group_detail_body(await faces.get_group(connection, group_id))


@router.get("/{face_id}/crop", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def get_crop(face_id: Id, request: Request, context: Context) -> Response:
    """A square picture around a face."""
    async with context.engine.connect() as connection:
        face = await faces.get_face(connection, face_id)
    return await jpeg_response(request, context.pictures.crop(face))
