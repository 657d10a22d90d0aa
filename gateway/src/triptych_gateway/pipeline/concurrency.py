"""How many shards a service is given at once, and whose turn it is.

The number grows with the replicas and while latency holds, and halves when the service says that it is full. Sessions
share it fairly: a free place goes to the session that has the fewest shards in flight, so that a small one is not stuck
behind a huge one.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

LIMIT: Final = 64
PER_REPLICA: Final = 2
"""Shards that each replica is given when it is new: one to work on, and the next."""
_SLOWER: Final = 2.0
"""Latency per photo beyond this many times the best seen means that more at once would only wait."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    session_id: int
    place: asyncio.Future[None]


class AdaptiveLimit:
    """Additive increase, multiplicative decrease, and turns for the sessions that share it."""

    def __init__(self, *, start: int) -> None:
        self._limit = max(1, start)
        self._replicas = 0
        self._in_flight: Counter[int] = Counter()
        self._waiting: list[_Waiting] = []
        """In the order in which they came."""
        self._best_seconds_per_item = float("inf")

    @property
    def limit(self) -> int:
        """Shards that may be in flight now."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """Shards that have a place now, of all sessions."""
        return self._in_flight.total()

    @asynccontextmanager
    async def slot(self, session_id: int) -> AsyncIterator[None]:
        """A place for one shard of a session; waits until it is its turn."""
        waiting = _Waiting(session_id, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._give_places()
        try:
            await waiting.place
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            elif not waiting.place.cancelled():
                self._leave(session_id)
            raise
        try:
            yield
        finally:
            self._leave(session_id)

    def follow(self, *, replicas: int) -> None:
        """There are so many replicas now: new ones are to have work at once, and those that left take their share."""
        if replicas > self._replicas:
            self._limit = max(self._limit, min(PER_REPLICA * replicas, LIMIT))
            self._give_places()
        elif replicas < self._replicas:
            self._limit = max(1, self._limit * replicas // self._replicas)
        self._replicas = replicas

    def succeeded(self, *, items: int, began: float) -> None:
        """A call over ``items`` photos that began at ``time.monotonic()`` ``began`` ended well."""
        per_item = (time.monotonic() - began) / max(items, 1)
        self._best_seconds_per_item = min(self._best_seconds_per_item, per_item)
        if per_item <= _SLOWER * self._best_seconds_per_item and self._limit < LIMIT:
            self._limit += 1
            self._give_places()

    def was_refused(self) -> None:
        """A service answered that it is full."""
        self._limit = max(1, self._limit // 2)

    def _leave(self, session_id: int) -> None:
        self._in_flight[session_id] -= 1
        if not self._in_flight[session_id]:
            del self._in_flight[session_id]
        self._give_places()

    def _give_places(self) -> None:
        while self._waiting and self._in_flight.total() < self._limit:
            # Of those that have equally few in flight, the first that came.
            turn = min(self._waiting, key=lambda one: self._in_flight[one.session_id])
            self._waiting.remove(turn)
            # Whoever was cancelled in this moment has not yet said so.
            if not turn.place.cancelled():
                self._in_flight[turn.session_id] += 1
                turn.place.set_result(None)
