"""Forgetting persons, photos and sessions."""

from fastapi import APIRouter, Request

from triptych_gateway.api import schemas
from triptych_gateway.api.access.audit_log import SUBJECT
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import errors
from triptych_gateway.api.parameters import Id, PageNumber, PageSize
from triptych_gateway.api.translation.privacy import forgetting_body
from triptych_gateway.catalog.privacy import forgettings

router = APIRouter(prefix="/api/v1/privacy/forgettings", tags=["privacy"])


@router.post("", status_code=202, responses=errors("not_found", "not_allowed_now"))
async def forget(body: schemas.Forget, request: Request, context: Context) -> schemas.Forgetting:
    """Have a person, a photo or a session removed with everything that was kept of it; the photos' files stay.

    It goes on by itself, and `doneAt` tells when it is done. Asked again, nothing changes.
    """
    request.scope[SUBJECT] = {f"{body.kind}_id": body.id}
    async with context.engine.begin() as connection:
        return forgetting_body(await forgettings.ask(connection, body.kind, body.id, keeps_out=body.keep_out))


@router.get("")
async def list_forgettings(
    context: Context, page: PageNumber = 1, page_size: PageSize = 20
) -> schemas.Page[schemas.Forgetting]:
    """What somebody had forgotten, newest first: ids and counts, and nothing of what it was."""
    async with context.engine.connect() as connection:
        found, total = await forgettings.list_forgettings(connection, offset=(page - 1) * page_size, limit=page_size)
    return schemas.Page[schemas.Forgetting].of(
        [forgetting_body(one) for one in found], total=total, page=page, page_size=page_size
    )


@router.get("/{forgetting_id}")
async def get_forgetting(forgetting_id: Id, context: Context) -> schemas.Forgetting:
    """One of them, and how far it is."""
    async with context.engine.connect() as connection:
        return forgetting_body(await forgettings.get_forgetting(connection, forgetting_id))
