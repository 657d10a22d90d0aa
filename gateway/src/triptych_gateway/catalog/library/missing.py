"""Photos whose files are gone: their rows stay, with results and names, and wait for them to come back."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.library.directories import below
from triptych_gateway.catalog.people import places

_NOT_OF_SESSION = """
    a.missing_at IS NULL AND a.path > :after AND NOT EXISTS (
        SELECT 1 FROM session_assets s WHERE s.session_id = :session_id AND s.asset_id = a.id)
    ORDER BY a.path LIMIT :limit"""


async def known_but_not_found(
    connection: AsyncConnection, session_id: int, directory: bytes, *, recursive: bool, after: bytes, limit: int
) -> list[bytes]:
    """Paths of photos in a directory, or also below it, that the session does not have; in order, from ``after`` on.

    Some are there all the same, and not such as the session looks for.
    """
    first, end = below(directory)
    if recursive:
        condition = "a.path >= :first AND a.path < :end"
    else:
        condition = "a.directory_id = (SELECT id FROM directories WHERE path = :directory)"
    rows = await connection.execute(
        text(f"SELECT a.path FROM assets a WHERE {condition} AND {_NOT_OF_SESSION}"),  # noqa: S608 - constants
        {
            "session_id": session_id,
            "after": after,
            "limit": limit,
            **({"first": first, "end": end} if recursive else {"directory": directory}),
        },
    )
    return [row.path for row in rows]


async def mark_missing(connection: AsyncConnection, paths: Sequence[bytes]) -> None:
    """Record that the files of photos are gone. The caller has checked its lease."""
    await places.lock(connection)
    await connection.execute(
        text("""
            UPDATE assets SET missing_at = now()
            WHERE missing_at IS NULL AND id IN (
                SELECT id FROM assets WHERE path = ANY(CAST(:paths AS bytea[])) ORDER BY path FOR UPDATE)"""),
        {"paths": list(paths)},
    )
