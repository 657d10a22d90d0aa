"""Removes what was kept for long enough. Nothing here looks at a clock: the caller says what time it is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_RUNS_AT_ONCE: Final = 20
"""Runs whose photos are removed in one transaction: each may have as many as the library."""


@dataclass(frozen=True, kw_only=True)
class KeptFor:
    """Days for which something is kept; 0 is for ever."""

    run_details_days: int
    """Which photos a run had, and what discovery could not read, after the session was completed."""
    missing_photos_days: int
    """Photos whose files are gone, after that was found."""
    forgettings_days: int
    """That something was forgotten, after it was."""


@dataclass(frozen=True, kw_only=True)
class LetGo:
    """What was removed."""

    run_details: int = 0
    """Rows of runs' photos, and of what discovery could not read."""
    photos: int = 0
    """Photos that are to be forgotten from now on."""
    forgettings: int = 0


async def let_go(connection: AsyncConnection, kept_for: KeptFor, *, now: datetime) -> LetGo:
    """Remove some of what is older, in the caller's transaction; to be called again until nothing is."""
    return LetGo(
        run_details=await _remove_run_details(connection, _before(now, kept_for.run_details_days)),
        photos=await _forget_missing_photos(connection, _before(now, kept_for.missing_photos_days)),
        forgettings=await _remove_forgettings(connection, _before(now, kept_for.forgettings_days)),
    )


def _before(now: datetime, days: int) -> datetime | None:
    """What is older is let go of; None where nothing is."""
    return now - timedelta(days=days) if days else None


async def _remove_run_details(connection: AsyncConnection, before: datetime | None) -> int:
    # Of completed sessions only: any other may still go on with its run.
    if before is None:
        return 0
    items = await connection.execute(
        text("""
            DELETE FROM run_items WHERE run_id = ANY(ARRAY(
                SELECT r.id FROM runs r JOIN sessions s ON s.id = r.session_id
                WHERE s.status = 'completed' AND s.completed_at < :before
                    AND EXISTS (SELECT 1 FROM run_items i WHERE i.run_id = r.id)
                ORDER BY r.id LIMIT :most))"""),
        {"before": before, "most": _RUNS_AT_ONCE},
    )
    problems = await connection.execute(
        text("""
            DELETE FROM session_problems WHERE session_id IN (
                SELECT id FROM sessions WHERE status = 'completed' AND completed_at < :before)"""),
        {"before": before},
    )
    return items.rowcount + problems.rowcount


async def _forget_missing_photos(connection: AsyncConnection, before: datetime | None) -> int:
    """Have photos forgotten that no session has which is not over."""
    if before is None:
        return 0
    asked = await connection.execute(
        text("""
            WITH gone AS (
                SELECT a.id FROM assets a WHERE a.missing_at < :before AND NOT EXISTS (
                    SELECT 1 FROM session_assets j JOIN sessions s ON s.id = j.session_id
                    WHERE j.asset_id = a.id AND s.status IN ('running', 'paused'))),
            asked AS (
                INSERT INTO forgettings (kind, subject_id) SELECT 'photo', id FROM gone
                ON CONFLICT (kind, subject_id) DO NOTHING RETURNING id, subject_id)
            INSERT INTO forgetting_photos (forgetting_id, asset_id) SELECT id, subject_id FROM asked"""),
        {"before": before},
    )
    return asked.rowcount


async def _remove_forgettings(connection: AsyncConnection, before: datetime | None) -> int:
    if before is None:
        return 0
    # The latest stays: gateways that were away see by it that something was forgotten.
    removed = await connection.execute(
        text("DELETE FROM forgettings WHERE done_at < :before AND done_at < (SELECT max(done_at) FROM forgettings)"),
        {"before": before},
    )
    return removed.rowcount
