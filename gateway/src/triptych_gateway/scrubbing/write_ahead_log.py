"""Leaves no file of the write-ahead log in which there is anything from before.

PostgreSQL removes a file of the log once a checkpoint needs it no more, or keeps it under the name of a later one with
what is in it. So each file that is there is either removed or written over from end to end: a switch to the next one
fills the rest with zeros.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.errors import ConfigurationError

_NOT_ALLOWED: Final = "42501"
_CURRENT: Final = "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"
_FILES: Final = "SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' ORDER BY name"
# A switch does nothing in a file in which nothing is written yet.
_SWITCH: Final = ("SELECT pg_logical_emit_message(false, 'triptych', 'scrub')", "SELECT pg_switch_wal()")


async def renew_log(connection: AsyncConnection) -> int:
    """Have every file of the log removed or written over, on a connection in autocommit; returns how many were.

    Raises ConfigurationError where the role may not do that, and where something holds older files.
    """
    try:
        return await _renew(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _NOT_ALLOWED:
            raise
        raise ConfigurationError(
            "The tables are scrubbed, and this role may not renew the write-ahead log: have its files recycled by"
            " whoever administers the database (docs/privacy.md), or scrub as a superuser."
        ) from error


async def _renew(connection: AsyncConnection) -> int:
    former = (await connection.execute(text(_CURRENT))).scalar_one()
    await _switch(connection)
    await connection.execute(text("CHECKPOINT"))
    waiting = [row.name for row in await connection.execute(text(_FILES))]
    # Those with later names may be former ones that wait to be used again.
    while (await connection.execute(text(_CURRENT))).scalar_one() <= waiting[-1]:
        await _switch(connection)
    await connection.execute(text("CHECKPOINT"))
    held = [row.name for row in await connection.execute(text(_FILES)) if row.name <= former]
    if held:
        raise ConfigurationError(
            f"The tables are scrubbed, and {len(held)} older files of the write-ahead log are still held, by a"
            " replication slot, by archiving or by wal_keep_size: scrub again once they are let go."
        )
    return len(waiting)


async def _switch(connection: AsyncConnection) -> None:
    for statement in _SWITCH:
        await connection.execute(text(statement))
