"""Leases: which gateway runs a session, by the database's clock.

A lease has an epoch that grows each time it changes hands. Every write of a run checks the epoch in its own
transaction, so a gateway that lost its lease cannot write.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LEASE_SECONDS: Final = 15
"""Time to live of a lease that is not renewed."""


class LeaseLostError(Exception):
    """Another gateway runs the session now, or the lease has lapsed; nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to run a session."""

    session_id: int
    holder: str
    epoch: int


async def claim(connection: AsyncConnection, *, holder: str) -> Lease | None:
    """Take the lease of a running session that nobody holds; None where there is none."""
    row = (
        await connection.execute(
            text("""
                WITH candidate AS (
                    SELECT s.id FROM sessions s LEFT JOIN leases l ON l.session_id = s.id
                    WHERE s.status = 'running' AND (l.session_id IS NULL OR l.expires_at <= now())
                    ORDER BY s.id LIMIT 1 FOR UPDATE OF s SKIP LOCKED)
                INSERT INTO leases AS held (session_id, holder, epoch, expires_at)
                SELECT id, :holder, 1, now() + make_interval(secs => :seconds) FROM candidate
                ON CONFLICT (session_id) DO UPDATE
                    SET holder = excluded.holder, epoch = held.epoch + 1, expires_at = excluded.expires_at
                    WHERE held.expires_at <= now()
                RETURNING session_id, epoch"""),
            {"holder": holder, "seconds": LEASE_SECONDS},
        )
    ).first()
    return Lease(session_id=row.session_id, holder=holder, epoch=row.epoch) if row is not None else None


async def renew(connection: AsyncConnection, lease: Lease) -> None:
    """Hold the lease for another while. Raises LeaseLostError."""
    renewed = await connection.execute(
        text("""
            UPDATE leases SET expires_at = now() + make_interval(secs => :seconds)
            WHERE session_id = :session_id AND holder = :holder AND epoch = :epoch AND expires_at > now()"""),
        {"seconds": LEASE_SECONDS, **vars(lease)},
    )
    if renewed.rowcount != 1:
        raise LeaseLostError(f"the lease of session {lease.session_id} is lost")


async def check(connection: AsyncConnection, lease: Lease) -> None:
    """Make sure, until the transaction ends, that the lease is held. Raises LeaseLostError."""
    held = await connection.execute(
        text("""
            SELECT 1 FROM leases
            WHERE session_id = :session_id AND holder = :holder AND epoch = :epoch AND expires_at > now()
            FOR SHARE"""),
        vars(lease),
    )
    if held.first() is None:
        raise LeaseLostError(f"the lease of session {lease.session_id} is lost")


async def release(connection: AsyncConnection, lease: Lease) -> None:
    """Let another gateway take the session at once."""
    await connection.execute(
        text("""
            UPDATE leases SET expires_at = now()
            WHERE session_id = :session_id AND holder = :holder AND epoch = :epoch"""),
        vars(lease),
    )
