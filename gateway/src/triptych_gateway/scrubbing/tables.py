"""Writes the files of the tables anew, with indexes and statistics, so that only rows that are there are in them."""

import asyncio
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.errors import ConfigurationError
from triptych_gateway.catalog.runtime_role import SEARCH_SCHEMA

_LOCK_SECONDS: Final = 60
"""How long a table may be in use by others before it is given up."""
_PATIENCE_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.2
_LOCK_NOT_AVAILABLE: Final = "55P03"
# Removed rows stay in a table that is written anew for as long as somebody may still see them.
_OLDER: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < CAST(:began AS timestamptz)
        AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)"""
_TABLES: Final = f"""
    SELECT format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN (current_schema(), '{SEARCH_SCHEMA}') AND c.relkind = 'r' AND c.relpersistence = 'p'
    ORDER BY pg_total_relation_size(c.oid) DESC, c.oid"""  # noqa: S608 - a constant
_STATISTICS: Final = "pg_catalog.pg_statistic"
"""Holds values of columns, for the planner: paths, names, vectors."""


async def rewrite_tables(connection: AsyncConnection) -> int:
    """Write every table anew, one after another, on a connection in autocommit; returns how many.

    Nobody reads or writes a table meanwhile, and the disk has room for a second copy of the largest one. Raises
    ConfigurationError where a table stays in use.
    """
    await _outlast_transactions(connection)
    await connection.execute(text(f"SET lock_timeout = '{_LOCK_SECONDS}s'"))
    names = [row.name for row in await connection.execute(text(_TABLES))]
    for name in names:
        await _rewrite(connection, name, analyzes=True)
    await _rewrite(connection, _STATISTICS, analyzes=False)
    return len(names)


async def _rewrite(connection: AsyncConnection, name: str, *, analyzes: bool) -> None:
    try:
        await connection.execute(text(f"VACUUM (FULL{', ANALYZE' if analyzes else ''}) {name}"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise ConfigurationError(
            f"The table {name} stayed in use for {_LOCK_SECONDS} s: scrub again when nothing is at work."
        ) from error


async def _outlast_transactions(connection: AsyncConnection) -> None:
    """Wait for the end of all transactions that began before now. Raises ConfigurationError."""
    began = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while (count := (await connection.execute(text(_OLDER), {"began": began})).scalar_one()) > 0:
        if asyncio.get_running_loop().time() > deadline:
            raise ConfigurationError(
                f"Transactions that began before ({count}) have gone on for {_PATIENCE_SECONDS:.0f} s, and may see"
                " what was removed: scrub again when nothing is at work."
            )
        await asyncio.sleep(_POLL_SECONDS)
