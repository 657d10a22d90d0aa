"""What somebody had the gateway do: written once, read by administrators, and removed when it is old."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.paging import window
from triptych_gateway.catalog.schema import audit


@dataclass(frozen=True, kw_only=True)
class Deed:
    """A request that was let through and was to change something."""

    request_id: str
    caller: str | None
    """The token's name; None where no token was asked for."""
    token_id: int | None
    action: str | None
    """The operation's name; None where the interface has none such."""
    method: str
    path: str
    session_id: int | None
    person_id: int | None
    """The session and the person that it was about, whether they are there or not."""
    status: int
    """How it was answered."""


@dataclass(frozen=True, kw_only=True)
class RecordedDeed:
    """One that was recorded."""

    id: int
    at: datetime
    deed: Deed


async def record(connection: AsyncConnection, deed: Deed) -> None:
    """Add it to what is there."""
    await connection.execute(insert(audit).values(vars(deed)))


async def list_deeds(
    connection: AsyncConnection, *, session_id: int | None, offset: int, limit: int
) -> tuple[list[RecordedDeed], int]:
    """What was done, the latest first, and how much there is in all; with a session, only what was about it."""
    those = [] if session_id is None else [audit.c.session_id == session_id]
    total = (await connection.execute(select(func.count()).select_from(audit).where(*those))).scalar_one()
    part = window(offset=offset, limit=limit, total=total)
    order = audit.c.id if part.reverse else audit.c.id.desc()
    rows = (
        await connection.execute(select(audit).where(*those).order_by(order).offset(part.offset).limit(part.limit))
    ).all()
    return [_recorded(row) for row in (reversed(rows) if part.reverse else rows)], total


async def remove_older(connection: AsyncConnection, *, days: int) -> int:
    """Remove what is older than so many days (≥ 1); returns how much that was."""
    removed = await connection.execute(delete(audit).where(audit.c.at < func.now() - timedelta(days=days)))
    return removed.rowcount


def _recorded(row: Row[Any]) -> RecordedDeed:
    values = dict(row._mapping)
    return RecordedDeed(id=values.pop("id"), at=values.pop("at"), deed=Deed(**values))
