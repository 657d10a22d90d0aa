"""A session's photos as the contract's jobs: one per photo, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, case, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.paging import window
from triptych_gateway.catalog.schema import assets, session_assets, sessions


@dataclass(frozen=True, kw_only=True)
class Job:
    """A photo of a session, and what became of it."""

    id: int
    session_id: int
    asset_id: int
    status: str
    path: bytes
    error_phase: str | None
    error_code: str | None
    error_message: str | None
    processing_microseconds: int | None
    created_at: datetime
    completed_at: datetime | None


async def list_jobs(
    connection: AsyncConnection, session_id: int, *, offset: int, limit: int, status: str | None
) -> tuple[list[Job], int]:
    """A session's photos in the order in which they were found, and how many there are in all."""
    counts = await count_jobs(connection, session_id)
    total = sum(counts.values()) if status is None else counts.get(status, 0)
    read = window(offset=offset, limit=limit, total=total)
    condition = session_assets.c.session_id == session_id
    if status is not None:
        # Jobs of a cancelled session that nobody did are stored as pending; where the session is not cancelled, the
        # counts have no cancelled ones, and none are read.
        condition &= session_assets.c.status == ("pending" if status == "cancelled" else status)
    # The ids alone first, from the index: what is passed over on the way to a page is not looked at.
    ids = await connection.execute(
        select(session_assets.c.id)
        .where(condition)
        .order_by(session_assets.c.id.desc() if read.reverse else session_assets.c.id)
        .offset(read.offset)
        .limit(read.limit)
    )
    return await _load(connection, ids.scalars().all()), total


async def _load(connection: AsyncConnection, job_ids: Sequence[int]) -> list[Job]:
    shown = case((_is_left_undone(), "cancelled"), else_=session_assets.c.status)
    columns = [column for column in session_assets.c if column.name not in ("status", "error_phase")]
    # A photo that is to be tried again remembers the phase that failed on it.
    error_phase = case((session_assets.c.status == "failed", session_assets.c.error_phase))
    rows = await connection.execute(
        select(*columns, shown.label("status"), error_phase.label("error_phase"), assets.c.path)
        .join(assets, assets.c.id == session_assets.c.asset_id)
        .join(sessions, sessions.c.id == session_assets.c.session_id)
        .where(session_assets.c.id.in_(job_ids))
        .order_by(session_assets.c.id)
    )
    return [Job(**row._mapping) for row in rows]


def _is_left_undone() -> ColumnElement[bool]:
    return (session_assets.c.status == "pending") & (sessions.c.status == "cancelled")


async def get_job(connection: AsyncConnection, job_id: int) -> Job:
    """One job. Raises NotFoundError."""
    found = await _load(connection, [job_id])
    if not found:
        raise NotFoundError(f"There is no job {job_id}.")
    return found[0]


async def count_jobs(connection: AsyncConnection, session_id: int) -> dict[str, int]:
    """Photos of a session by the status that is shown; one that none has is left out.

    Those that a cancelled session left undone are cancelled.
    """
    rows = await connection.execute(
        text("""
            SELECT c.count AS jobs,
                CASE WHEN c.status = 'pending' AND s.status = 'cancelled' THEN 'cancelled' ELSE c.status END AS status
            FROM session_job_counts c JOIN sessions s ON s.id = c.session_id
            WHERE c.session_id = :session_id AND c.count > 0"""),
        {"session_id": session_id},
    )
    return {row.status: row.jobs for row in rows}
