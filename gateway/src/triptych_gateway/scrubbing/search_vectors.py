"""Sees to it that the tables that are searched lack what was removed, whoever keeps them."""

import asyncio
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from triptych_common.errors import ConfigurationError
from triptych_gateway.catalog.database import SEARCH_LOCK
from triptych_gateway.catalog.search import search_spaces, search_tables
from triptych_gateway.pipeline.taking_turns import lock_if_free

_PATIENCE_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.2
_PUT_AT_ONCE: Final = 1000
_REMOVED: Final = """
    SELECT count(*) FROM search_queue q WHERE NOT EXISTS (
        SELECT 1 FROM embeddings e WHERE e.asset_id = q.asset_id AND e.model_id = q.model_id)"""


async def remove_gone_vectors(engine: AsyncEngine) -> None:
    """Wait until a gateway has taken what is gone out of the tables, or do it where none keeps them.

    Raises ConfigurationError where that takes too long.
    """
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while await _count_waiting(engine):
        async with lock_if_free(engine, SEARCH_LOCK) as connection:
            if connection is not None:
                await _remove(connection)
        if asyncio.get_running_loop().time() > deadline:
            raise ConfigurationError("Vectors that are gone still wait to leave the search index: scrub again later.")
        await asyncio.sleep(_POLL_SECONDS)


async def _count_waiting(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text(_REMOVED))).scalar_one())


async def _remove(connection: AsyncConnection) -> None:
    async with connection.begin():
        await search_tables.remove_leftovers(connection)
        spaces = await search_spaces.list_spaces(connection)
    for space in spaces:
        count = _PUT_AT_ONCE
        while count == _PUT_AT_ONCE:
            async with connection.begin():
                count = await search_tables.put_waiting(connection, space, most=_PUT_AT_ONCE)
