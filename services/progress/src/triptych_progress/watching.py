"""Who is told of changes. However fast a session changes, a watcher is told about twenty times a second."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

INTERVAL_SECONDS: Final = 0.05
"""Least time between two rounds in which watchers are told."""


class Watchers:
    """All watchers, and the changes that they are yet to be told of."""

    def __init__(self) -> None:
        self._changed: set[int] = set()
        self._any = asyncio.Event()
        self._of_all: set[Watcher] = set()
        self._of_one: defaultdict[int, set[Watcher]] = defaultdict(set)
        self._stopped = False

    def on_change(self, session_id: int) -> None:
        """Note that a session has changed."""
        self._changed.add(session_id)
        if not self._any.is_set():
            self._any.set()

    async def run(self) -> None:
        """Tell watchers until cancelled: at once after a silence, and then in rounds."""
        while True:
            await self._any.wait()
            self._any.clear()
            changed, self._changed = self._changed, set()
            for session_id in changed:
                for watcher in (*self._of_all, *self._of_one.get(session_id, ())):
                    watcher.tell(session_id)
            await asyncio.sleep(INTERVAL_SECONDS)

    def stop(self) -> None:
        """Have every watcher, also those to come, end."""
        self._stopped = True
        for watcher in (*self._of_all, *(one for watchers in self._of_one.values() for one in watchers)):
            watcher.stop()

    @contextmanager
    def watch(self, session_ids: Collection[int]) -> Iterator["Watcher"]:
        """A watcher of some sessions, or of all where none is named, for as long as the context lasts."""
        watcher = Watcher()
        if self._stopped:
            watcher.stop()
        of = [self._of_one[session_id] for session_id in session_ids] or [self._of_all]
        try:
            for watchers in of:
                watchers.add(watcher)
            yield watcher
        finally:
            for watchers in of:
                watchers.discard(watcher)
            for session_id in session_ids:
                if not self._of_one.get(session_id, True):
                    del self._of_one[session_id]


class Watcher:
    """One reader's unread changes; a slow reader finds each session once, as it is by then."""

    def __init__(self) -> None:
        self._unread: dict[int, None] = {}
        self._ready = asyncio.Event()
        self._stopped = False

    def tell(self, session_id: int) -> None:
        """Note a change."""
        self._unread[session_id] = None
        self._ready.set()

    def stop(self) -> None:
        """Have the reader end, however much it has not read."""
        self._stopped = True
        self._ready.set()

    async def next(self, *, most: int) -> list[int]:
        """Wait for sessions that have changed, and take so many at most; none once the watcher is stopped."""
        await self._ready.wait()
        if self._stopped:
            return []
        changed = list(islice(self._unread, most))
        for session_id in changed:
            del self._unread[session_id]
        if not self._unread:
            self._ready.clear()
        return changed
