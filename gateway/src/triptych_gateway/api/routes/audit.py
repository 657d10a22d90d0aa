"""Who had what done."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from triptych_gateway.api import schemas
from triptych_gateway.api.context import Context
from triptych_gateway.api.parameters import PageNumber, PageSize
from triptych_gateway.catalog.access import audit

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])


@router.get("")
async def list_audit(
    context: Context,
    page: PageNumber = 1,
    page_size: PageSize = 50,
    session_id: Annotated[
        int | None, Query(ge=1, le=schemas.MAX_ID, description="Only what was about this session, there or not.")
    ] = None,
) -> schemas.Page[schemas.AuditEntry]:
    """Requests that were let through to change something, the latest first. Those that were refused are in the log."""
    async with context.engine.connect() as connection:
        found, total = await audit.list_deeds(
            connection, session_id=session_id, offset=(page - 1) * page_size, limit=page_size
        )
    items = [schemas.AuditEntry(id=one.id, at=one.at, **asdict(one.deed)) for one in found]
    return schemas.Page[schemas.AuditEntry].of(items, total=total, page=page, page_size=page_size)
