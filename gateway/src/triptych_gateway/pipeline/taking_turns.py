"""Work that one gateway of all does at a time: whoever holds an advisory lock, for as long as its connection lasts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


@asynccontextmanager
async def lock_if_free(engine: AsyncEngine, key: int) -> AsyncIterator[AsyncConnection | None]:
    """A connection that holds the lock until it is closed; None where another holds it."""
    async with engine.connect() as connection:
        try:
            has_it = (await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})).scalar_one()
            await connection.commit()
            yield connection if has_it else None
        finally:
            # Back in the pool it would hold the lock on.
            await asyncio.shield(connection.invalidate())
