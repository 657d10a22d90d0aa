"""A gateway's sign of life: an advisory lock under its name, which PostgreSQL drops the moment the connection is gone.

A lease alone would keep a session waiting until it lapses; with this, another gateway (or the same one, started again)
sees at once that the holder is dead. Where the lock says nothing (a pooler between, a host that vanished without a
word) the lease's own time to live decides as before.
"""

import asyncio
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.logging import get_logger
from triptych_gateway.catalog.database import DATABASE_AWAY

log = get_logger(__name__)

ABSENT_SQL: Final = "pg_try_advisory_xact_lock_shared(hashtextextended({holder}, 0))"
"""True where no living connection holds the sign of life of the gateway that the column or parameter names."""
_KEEP_SECONDS: Final = 1.0
"""How often the connection is used, so that its loss is noticed and mended; far below `leases.ABSENT_SECONDS`."""


async def keep_presence(engine: AsyncEngine, *, holder: str) -> None:
    """Show that this gateway lives, until cancelled; begins again whenever the connection is lost."""
    while True:
        try:
            await _hold(engine, holder)
        except DATABASE_AWAY as error:
            log.debug("the sign of life is interrupted", error=repr(error))
        await asyncio.sleep(_KEEP_SECONDS)


async def _hold(engine: AsyncEngine, holder: str) -> None:
    async with engine.connect() as connection:
        try:
            await connection.execute(text("SELECT pg_advisory_lock(hashtextextended(:holder, 0))"), {"holder": holder})
            await connection.commit()
            while True:
                await asyncio.sleep(_KEEP_SECONDS)
                await connection.execute(text("SELECT 1"))
                await connection.commit()
        finally:
            # Back in the pool it would hold the lock on.
            await asyncio.shield(connection.invalidate())
