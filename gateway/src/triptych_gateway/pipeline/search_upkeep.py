"""Keeps the tables that are searched: one gateway of all puts in what waits, and builds tables anew.

Nothing that writes embeddings waits for it, and searches find what waits all the same.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from triptych_common.logging import get_logger
from triptych_gateway.catalog.database import DATABASE_AWAY, SEARCH_LOCK, is_away
from triptych_gateway.catalog.search import search_spaces, search_tables
from triptych_gateway.catalog.search.search_spaces import SearchSpace
from triptych_gateway.catalog.search.search_tables import MOST_DIMENSIONS, Copied
from triptych_gateway.pipeline.taking_turns import lock_if_free

log = get_logger(__name__)

BUILD_STATEMENT_SECONDS: Final = 12 * 3600.0
"""Longest statement: the index of a very large table."""
_LOOK_EVERY_SECONDS: Final = 1.0
_ASK_FOR_THE_LOCK_EVERY_SECONDS: Final = 5.0
_LOG_EVERY_SECONDS: Final = 10.0
_PUT_AT_ONCE: Final = 200
"""Photos of a transaction: about a third of a second where there is a graph."""
_PUT_IN_A_ROW: Final = 25
"""Transactions until it is looked again whether building the graph anew has become quicker."""
_LEAST_REBUILT: Final = 5_000
_REBUILT_SHARE: Final = 0.2
"""Where more waits than both, building the graph anew is quicker: 0.2 ms a vector rather than 1.4 (decision 0015)."""


class SearchUpkeep:
    """Works whenever it has the lock, until cancelled."""

    def __init__(self, engine: AsyncEngine, *, exact_below: int, build_memory_bytes: int) -> None:
        """The engine must allow statements of ``BUILD_STATEMENT_SECONDS``, and two connections."""
        self._engine = engine
        self._exact_below = exact_below
        self._build_memory_bytes = build_memory_bytes
        self._too_long: set[str] = set()

    async def run(self) -> None:
        """Keep all spaces; where another gateway does, wait for it to go."""
        while True:
            try:
                async with lock_if_free(self._engine, SEARCH_LOCK) as connection:
                    if connection is not None:
                        await self._keep(connection)
            except DATABASE_AWAY as error:
                if is_away(error):
                    log.warning("the search index waits for the database", error=repr(error))
                else:
                    log.exception("the search index could not be kept up to date; searches look at the rest by hand")
            await asyncio.sleep(_ASK_FOR_THE_LOCK_EVERY_SECONDS)

    async def _keep(self, connection: AsyncConnection) -> None:
        async with connection.begin():
            removed = await search_tables.remove_leftovers(connection)
        if removed:
            log.info("removed unfinished search tables", tables=removed)
        while True:
            await self.look(connection)
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def look(self, connection: AsyncConnection) -> None:
        """Bring every space up to date, once. The caller holds the lock on this connection."""
        async with connection.begin():
            await search_spaces.add_new_spaces(connection)
            spaces = await search_spaces.list_spaces(connection)
        for space in spaces:
            await self._look_at(connection, space)

    async def _look_at(self, connection: AsyncConnection, space: SearchSpace) -> None:
        async with connection.begin():
            waiting = await search_spaces.count_waiting(connection, space.model_id)
        if await self._needs_table(connection, space, waiting=waiting):
            await self._build(connection, space)
        elif waiting:
            await self._put(connection, space)

    async def _needs_table(self, connection: AsyncConnection, space: SearchSpace, *, waiting: int) -> bool:
        if space.rebuild_asked_at is not None:
            return True
        if space.table is None:
            # Where vectors are too long for a table, each is looked at.
            return space.dimension is None or waiting > 0
        if not space.has_graph:
            return space.photo_count + waiting >= self._exact_below
        return waiting > max(_LEAST_REBUILT, space.photo_count * _REBUILT_SHARE)

    async def _put(self, connection: AsyncConnection, space: SearchSpace) -> None:
        await self._drain(connection, space)
        async with connection.begin():
            fresh = await search_spaces.find_space(connection, space.model_id)
        if fresh is not None and fresh.photo_count == 0:
            await self._remove_if_gone(connection, fresh)

    async def _drain(self, connection: AsyncConnection, space: SearchSpace) -> None:
        for _ in range(_PUT_IN_A_ROW):
            async with connection.begin():
                count = await search_tables.put_waiting(connection, space, most=_PUT_AT_ONCE)
            if count < _PUT_AT_ONCE:
                return

    async def _remove_if_gone(self, connection: AsyncConnection, space: SearchSpace) -> None:
        # Looked at after the queue was emptied: what comes from now on is queued again, and makes a new space.
        async with connection.begin():
            if await search_tables.find_dimension(connection, space.model_id) is None:
                await search_tables.remove_space(connection, space)
                log.info("removed a search space: its vectors are gone", model=space.model_id)

    async def _build(self, connection: AsyncConnection, space: SearchSpace) -> None:
        """Make the table of a space anew, beside the one in use, and its graph if it is large enough for one."""
        async with connection.begin():
            dimension = await search_tables.find_dimension(connection, space.model_id)
        if dimension is None:
            await self._drain(connection, space)
            await self._remove_if_gone(connection, space)
        elif dimension > MOST_DIMENSIONS:
            await self._do_without(connection, space, dimension=dimension)
        else:
            await self._build_table(connection, space, dimension=dimension)

    async def _build_table(self, connection: AsyncConnection, space: SearchSpace, *, dimension: int) -> None:
        began = time.monotonic()
        log.info("building a search table", model=space.model_id, dimension=dimension)
        async with connection.begin():
            number = await search_tables.begin_table(connection, space, dimension=dimension)
        copied = Copied(after_asset_id=0, rows=0, is_whole=False)
        while not copied.is_whole:
            async with connection.begin():
                copied = await search_tables.copy_some(connection, space, number, dimension=dimension, copied=copied)
        has_graph = copied.rows >= self._exact_below
        if has_graph:
            async with connection.begin():
                await search_tables.note_progress(connection, space, stage="linking", done=0)
            async with self._telling(space, total=copied.rows), connection.begin():
                await search_tables.link(
                    connection, number, rows=copied.rows, dimension=dimension, most_bytes=self._build_memory_bytes
                )
            async with connection.begin():
                await search_tables.note_progress(connection, space, stage="linking", done=copied.rows)
        async with connection.begin():
            await search_tables.analyze(connection, number)
        seconds = time.monotonic() - began
        async with connection.begin():
            await search_tables.take_into_use(
                connection, space, number, rows=copied.rows, has_graph=has_graph, seconds=seconds
            )
        log.info(
            "a search table is in use",
            model=space.model_id,
            photos=copied.rows,
            has_graph=has_graph,
            seconds=round(seconds, 1),
        )

    async def _do_without(self, connection: AsyncConnection, space: SearchSpace, *, dimension: int) -> None:
        async with connection.begin():
            await search_tables.do_without_table(connection, space, dimension=dimension)
        await self._drain(connection, space)
        if space.model_id not in self._too_long:
            self._too_long.add(space.model_id)
            log.warning(
                "vectors are too long for a search table; searches look at each",
                model=space.model_id,
                dimension=dimension,
                most=MOST_DIMENSIONS,
            )

    @asynccontextmanager
    async def _telling(self, space: SearchSpace, *, total: int) -> AsyncIterator[None]:
        """Log now and then how far the graph is."""
        task = asyncio.create_task(self._tell(space, total=total))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _tell(self, space: SearchSpace, *, total: int) -> None:
        while True:
            await asyncio.sleep(_LOG_EVERY_SECONDS)
            async with self._engine.connect() as connection:
                current = await search_spaces.find_space(connection, space.model_id)
                if current is not None:
                    state = await search_spaces.look_at(connection, current)
                    log.info("building a search index", model=space.model_id, done=state.linked, total=total)
