"""What a database holds: no catalogue, an empty one, or one that somebody uses."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.schema import metadata

_OURS: Final = (*metadata.tables, "alembic_version")
_STRANGE_TABLES: Final = """
    SELECT c.relname AS name FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND c.relname <> ALL(CAST(:ours AS text[])) AND c.relname !~ '^search_vectors_[0-9]+$'
        AND NOT EXISTS (
            SELECT 1 FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relname"""
_IN_USE: Final = ("sessions", "assets", "persons", "tokens")
"""Tables that have a row as soon as somebody uses the catalogue."""
_OTHERS: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'triptych' AND pid <> pg_backend_pid()"""


async def server_major_version(connection: AsyncConnection) -> int:
    """Major version of the server."""
    number: str = (await connection.execute(text("SHOW server_version_num"))).scalar_one()
    return int(number) // 10_000


async def strange_tables(connection: AsyncConnection) -> list[str]:
    """Tables and views that are neither Triptych's nor an extension's."""
    rows = await connection.execute(text(_STRANGE_TABLES), {"ours": list(_OURS)})
    return [row.name for row in rows]


async def holds_anything(connection: AsyncConnection) -> bool:
    """Whether there is a catalogue, of whatever version, with a session, a photo, a person or a token."""
    for table in _IN_USE:
        is_there = (
            await connection.execute(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": table})
        ).scalar_one()
        if is_there:
            query = text(f"SELECT EXISTS (SELECT 1 FROM {table})")  # noqa: S608 - constants
            if (await connection.execute(query)).scalar_one():
                return True
    return False


async def connected_gateways(connection: AsyncConnection) -> int:
    """Connections of gateways to the database."""
    count: int = (await connection.execute(text(_OTHERS))).scalar_one()
    return count
