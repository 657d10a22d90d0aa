"""Leases: which gateway runs a session, by the database's clock.

A lease has an epoch that grows each time it changes hands. Every write of a run checks the epoch in its own
transaction, so a gateway that lost its lease cannot write: taking one over too early costs work, never data.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.runs.presence import ABSENT_SQL

LEASE_SECONDS: Final = 15
"""Time to live of a lease that is not renewed."""
RENEW_SECONDS: Final = LEASE_SECONDS / 3
"""How often a lease is renewed."""
ABSENT_SECONDS: Final = RENEW_SECONDS + 1
"""How old the last renewal must be before a holder without a sign of life is taken for dead: a gateway that only lost
the connection of its sign of life has renewed its leases since."""


_TAKE_OVER: Final = f"""
    WITH candidate AS (
        SELECT held.session_id FROM leases held JOIN sessions s ON s.id = held.session_id
        WHERE s.status = 'running' AND s.id <> ALL(CAST(:running AS bigint[])) AND (
            held.expires_at <= now()
            OR held.holder = :holder
            OR held.expires_at <= now() + make_interval(secs => :absent) AND {ABSENT_SQL.format(holder="held.holder")})
        ORDER BY s.id LIMIT 1 FOR UPDATE OF held SKIP LOCKED)
    UPDATE leases SET holder = :holder, epoch = epoch + 1, expires_at = now() + make_interval(secs => :seconds)
    WHERE session_id = (SELECT session_id FROM candidate) RETURNING session_id, epoch"""  # noqa: S608 - constants
_TAKE_NEW: Final = """
    WITH candidate AS (
        SELECT s.id FROM sessions s WHERE s.status = 'running' AND s.id <> ALL(CAST(:running AS bigint[]))
        AND NOT EXISTS (SELECT 1 FROM leases WHERE session_id = s.id)
        ORDER BY s.id LIMIT 1 FOR UPDATE OF s SKIP LOCKED)
    INSERT INTO leases (session_id, holder, epoch, expires_at)
    SELECT id, :holder, 1, now() + make_interval(secs => :seconds) FROM candidate
    ON CONFLICT (session_id) DO NOTHING RETURNING session_id, epoch"""


LAPSE_ALL_SQL: Final = "UPDATE leases SET expires_at = now() WHERE expires_at > now()"
"""Whoever held a session when the catalogue was dumped does not hold it in the restored one."""


class LeaseLostError(Exception):
    """Another gateway runs the session now, or the lease has lapsed; nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to run a session."""

    session_id: int
    holder: str
    epoch: int


async def claim(connection: AsyncConnection, *, holder: str, running: Collection[int] = ()) -> Lease | None:
    """Take the lease of a running session that nobody runs; None where there is none.

    That is a session without a lease or with a lapsed one; one whose holder shows no sign of life and has not renewed
    for ABSENT_SECONDS; and one of this holder itself (the database was away when it was to be given back). None of
    `running`: what this holder has not let go of yet, though its lease may be gone.
    """
    parameters = {
        "holder": holder,
        "running": list(running),
        "seconds": LEASE_SECONDS,
        "absent": LEASE_SECONDS - ABSENT_SECONDS,
    }
    # The lease before the session, as in every other transaction, and none that a write is holding.
    row = (await connection.execute(text(_TAKE_OVER), parameters)).first()
    if row is None:
        row = (await connection.execute(text(_TAKE_NEW), parameters)).first()
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
    """Make sure, until the transaction ends, that the lease is held. Raises LeaseLostError.

    Nobody may take the lease over meanwhile (whoever does locks its row FOR UPDATE first), but it can be renewed: a
    transaction may take longer than a lease lasts.
    """
    held = await connection.execute(
        # Not now(), which is when the transaction began: it may have worked for long before it asks.
        text("""
            SELECT 1 FROM leases
            WHERE session_id = :session_id AND holder = :holder AND epoch = :epoch AND expires_at > clock_timestamp()
            FOR KEY SHARE"""),
        vars(lease),
    )
    if held.first() is None:
        raise LeaseLostError(f"the lease of session {lease.session_id} is lost")


async def revoke(connection: AsyncConnection, session_id: int) -> None:
    """Take the lease from whoever holds it: from the commit on, the holder can write no more.

    The caller has locked the lease's row FOR UPDATE, so no write of the holder is under way.
    """
    await connection.execute(
        text("UPDATE leases SET expires_at = now() WHERE session_id = :session_id AND expires_at > now()"),
        {"session_id": session_id},
    )


async def release(connection: AsyncConnection, lease: Lease) -> None:
    """Let another gateway take the session at once."""
    await connection.execute(
        text("""
            UPDATE leases SET expires_at = now()
            WHERE session_id = :session_id AND holder = :holder AND epoch = :epoch"""),
        vars(lease),
    )
