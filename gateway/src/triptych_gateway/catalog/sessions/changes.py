"""Sessions with their latest runs, many at a time, and which of them have changed: what a gateway keeps in memory."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.runs import lifecycle
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.schema import sessions
from triptych_gateway.catalog.sessions.sessions import Session, load_sessions

OVERLAP: Final = timedelta(seconds=10)
"""How far a look at the changes reaches back behind the newest one seen: a transaction that began earlier may be
committed later."""


@dataclass(frozen=True, kw_only=True)
class SessionRows:
    """A session and the latest run of each phase."""

    session: Session
    runs: Mapping[str, Run]


async def load(connection: AsyncConnection, session_ids: Collection[int]) -> dict[int, SessionRows]:
    """Sessions by id; those that are not there are left out.

    What is committed between the two queries is in the runs and not in the session, which therefore does not count as
    up to date and is read again.
    """
    found = await load_sessions(connection, session_ids)
    runs = await lifecycle.latest_runs_of(connection, session_ids)
    return {session.id: SessionRows(session=session, runs=runs.get(session.id, {})) for session in found}


async def ids_under_way(connection: AsyncConnection) -> list[int]:
    """Sessions that run or are paused."""
    rows = await connection.execute(select(sessions.c.id).where(sessions.c.status.in_(("running", "paused"))))
    return [row.id for row in rows]


@dataclass(frozen=True, kw_only=True)
class Change:
    """When a session changed last, and to which status."""

    session_id: int
    at: datetime
    status: str


async def changed_since(connection: AsyncConnection, moment: datetime) -> tuple[list[Change], datetime]:
    """The sessions that changed after a moment less OVERLAP, and the database's time, at which to look on.

    A moment in the future, by a clock that was set back, is now.
    """
    now = await database_time(connection)
    since = func.least(moment - OVERLAP, func.now() - OVERLAP)
    rows = await connection.execute(
        select(sessions.c.id, sessions.c.updated_at, sessions.c.status).where(sessions.c.updated_at > since)
    )
    return [Change(session_id=row.id, at=row.updated_at, status=row.status) for row in rows], now


async def ended_since(connection: AsyncConnection, moment: datetime, *, most: int) -> list[int]:
    """Sessions that are over and changed after a moment less OVERLAP, newest first."""
    over = sessions.c.status.in_(("completed", "failed", "cancelled"))
    rows = await connection.execute(
        select(sessions.c.id)
        .where(over, sessions.c.updated_at > moment - OVERLAP)
        .order_by(sessions.c.updated_at.desc())
        .limit(most)
    )
    return [row.id for row in rows]


async def database_time(connection: AsyncConnection) -> datetime:
    """The database's time."""
    moment: datetime = (await connection.execute(select(func.now()))).scalar_one()
    return moment


async def still_there(connection: AsyncConnection, session_ids: Collection[int]) -> set[int]:
    """Those of the sessions that were not deleted."""
    rows = await connection.execute(select(sessions.c.id).where(sessions.c.id.in_(list(session_ids))))
    return {row.id for row in rows}
