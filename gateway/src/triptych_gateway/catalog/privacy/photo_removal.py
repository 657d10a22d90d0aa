"""Removes photos from the catalogue with all that was found in them; their files are never touched."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.database import DISCOVERY_LOCK
from triptych_gateway.catalog.people import places
from triptych_gateway.catalog.privacy import face_removal
from triptych_gateway.catalog.privacy.waiting import MustWaitError, require_no_clustering
from triptych_gateway.catalog.runs import lifecycle
from triptych_gateway.catalog.states import NotAllowedError

PHOTOS_AT_ONCE: Final = 500
"""Photos that are removed in one transaction."""
_UNDER_WAY: Final = """
    SELECT s.id, s.status FROM session_assets j JOIN sessions s ON s.id = j.session_id
    WHERE j.asset_id = ANY(CAST(:ids AS bigint[])) AND s.status IN ('running', 'paused') ORDER BY s.id LIMIT 1"""


async def check_unused(connection: AsyncConnection, asset_id: int) -> None:
    """Raise NotAllowedError where a session that is not over works on a photo."""
    row = (await connection.execute(text(_UNDER_WAY), {"ids": [asset_id]})).first()
    if row is not None:
        raise NotAllowedError(
            f"Session {row.id} is {row.status} and has this photo: wait until it is over, or cancel it.",
            status=row.status,
            allowed=("cancel",),
        )


async def choose(connection: AsyncConnection, forgetting_id: int, asset_ids: Sequence[int]) -> None:
    """Have photos removed with a forgetting."""
    await connection.execute(
        text("""
            INSERT INTO forgetting_photos (forgetting_id, asset_id)
            SELECT :id, asset_id FROM unnest(CAST(:assets AS bigint[])) AS a(asset_id) ON CONFLICT DO NOTHING"""),
        {"id": forgetting_id, "assets": list(asset_ids)},
    )


async def remove_some(connection: AsyncConnection, forgetting_id: int, *, spares_used: bool) -> dict[str, int] | None:
    """Remove some of the photos that were chosen; returns how many ``photos`` and ``faces``, or None once none is left.

    With ``spares_used`` a photo that some session has stays. Raises MustWaitError.
    """
    rows = await connection.execute(
        text("SELECT asset_id FROM forgetting_photos WHERE forgetting_id = :id ORDER BY asset_id LIMIT :most"),
        {"id": forgetting_id, "most": PHOTOS_AT_ONCE},
    )
    chosen = [row.asset_id for row in rows]
    if not chosen:
        return None
    await require_no_clustering(connection)
    # Nobody finds a photo again while it goes.
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": DISCOVERY_LOCK})
    await places.lock(connection)
    going = await _unused(connection, chosen) if spares_used else chosen
    await _require_no_session(connection, going)
    removed = await _remove(connection, going)
    await connection.execute(
        text("DELETE FROM forgetting_photos WHERE forgetting_id = :id AND asset_id = ANY(CAST(:ids AS bigint[]))"),
        {"id": forgetting_id, "ids": chosen},
    )
    return removed


async def _unused(connection: AsyncConnection, asset_ids: Sequence[int]) -> list[int]:
    rows = await connection.execute(
        text("""
            SELECT a.id FROM assets a WHERE a.id = ANY(CAST(:ids AS bigint[]))
                AND NOT EXISTS (SELECT 1 FROM session_assets j WHERE j.asset_id = a.id)"""),
        {"ids": list(asset_ids)},
    )
    return [row.id for row in rows]


async def _require_no_session(connection: AsyncConnection, asset_ids: Sequence[int]) -> None:
    row = (await connection.execute(text(_UNDER_WAY), {"ids": list(asset_ids)})).first()
    if row is not None:
        raise MustWaitError(f"Session {row.id}, which is {row.status}, has a photo of it; it goes once that is over.")


async def _remove(connection: AsyncConnection, asset_ids: Sequence[int]) -> dict[str, int]:
    ids = {"ids": list(asset_ids)}
    faces = await connection.execute(text("SELECT id FROM faces WHERE asset_id = ANY(CAST(:ids AS bigint[]))"), ids)
    removed_faces = await face_removal.remove_faces(connection, [row.id for row in faces])
    await _renew_cancelled_runs(connection, asset_ids)
    for statement in (
        """DELETE FROM session_problems
           WHERE path IN (SELECT path FROM assets WHERE id = ANY(CAST(:ids AS bigint[])))""",
        # While it can still be told which directories and sessions they count in.
        "DELETE FROM session_assets WHERE asset_id = ANY(CAST(:ids AS bigint[]))",
    ):
        await connection.execute(text(statement), ids)
    directories = await connection.execute(
        text("SELECT DISTINCT directory_id FROM assets WHERE id = ANY(CAST(:ids AS bigint[]))"), ids
    )
    directory_ids = [row.directory_id for row in directories if row.directory_id is not None]
    removed = await connection.execute(text("DELETE FROM assets WHERE id = ANY(CAST(:ids AS bigint[]))"), ids)
    await connection.execute(
        text("""
            DELETE FROM directories d WHERE d.id = ANY(CAST(:ids AS bigint[]))
                AND NOT EXISTS (SELECT 1 FROM assets a WHERE a.directory_id = d.id)"""),
        {"ids": directory_ids},
    )
    return {"photos": removed.rowcount, "faces": removed_faces}


async def _renew_cancelled_runs(connection: AsyncConnection, asset_ids: Sequence[int]) -> None:
    """Cancelled sessions that have some of the photos and go on later do so with a run that counts without them."""
    rows = await connection.execute(
        text("""
            SELECT DISTINCT s.id FROM session_assets j JOIN sessions s ON s.id = j.session_id
            WHERE j.asset_id = ANY(CAST(:ids AS bigint[])) AND s.status = 'cancelled' ORDER BY s.id"""),
        {"ids": list(asset_ids)},
    )
    for row in rows.all():
        await lifecycle.renew_runs_from_cancelled(connection, row.id)
