"""A session's photos as the contract's jobs: one per photo, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.paging import window
from triptych_gateway.catalog.schema import assets, session_assets
from triptych_gateway.catalog.sessions import NotFoundError


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
        condition &= session_assets.c.status == status
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
    rows = await connection.execute(
        select(session_assets, assets.c.path)
        .join(assets, assets.c.id == session_assets.c.asset_id)
        .where(session_assets.c.id.in_(job_ids))
        .order_by(session_assets.c.id)
    )
    return [Job(**row._mapping) for row in rows]


async def get_job(connection: AsyncConnection, job_id: int) -> Job:
    """One job. Raises NotFoundError."""
    found = await _load(connection, [job_id])
    if not found:
        raise NotFoundError(f"There is no job {job_id}.")
    return found[0]


async def count_jobs(connection: AsyncConnection, session_id: int) -> dict[str, int]:
    """Photos of a session by status; a status that none has is left out."""
    rows = await connection.execute(
        text("SELECT status, count AS jobs FROM session_job_counts WHERE session_id = :session_id AND count > 0"),
        {"session_id": session_id},
    )
    return {row.status: row.jobs for row in rows}
