"""How many shards may be in flight: grows while latency holds, halves when a service says that it is full."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

LIMIT: Final = 64
_SLOWER: Final = 2.0
"""Latency per photo beyond this many times the best seen means that more at once would only wait."""


class AdaptiveLimit:
    """Additive increase, multiplicative decrease."""

    def __init__(self, *, start: int) -> None:
        self._limit = max(1, start)
        self._in_flight = 0
        self._best_seconds_per_item = float("inf")
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """Shards that may be in flight now."""
        return self._limit

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A place for one shard in flight; waits until there is one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_flight < self._limit)
            self._in_flight += 1
        try:
            yield
        finally:
            async with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    async def succeeded(self, *, items: int, began: float) -> None:
        """A call over ``items`` photos that began at ``time.monotonic()`` ``began`` ended well."""
        per_item = (time.monotonic() - began) / max(items, 1)
        self._best_seconds_per_item = min(self._best_seconds_per_item, per_item)
        if per_item <= _SLOWER * self._best_seconds_per_item and self._limit < LIMIT:
            async with self._changed:
                self._limit += 1
                self._changed.notify_all()

    def was_refused(self) -> None:
        """A service answered that it is full."""
        self._limit = max(1, self._limit // 2)
