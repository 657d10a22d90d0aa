"""The sessions in memory. One that was put away is fetched when the stream or a reader speaks of it again."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import nats.errors

from triptych_common.logging import get_logger
from triptych_progress.reducer import Report, check
from triptych_progress.session import Session

log = get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
_READ_AGAIN: Final = 256
"""Sessions that were put away and read again, which are kept for the next reader."""


class Sessions:
    """Sessions by id, which change as reports are folded into them."""

    def __init__(self, fetch: Callable[[int], Awaitable[Session | None]], *, on_change: Callable[[int], None]) -> None:
        self._fetch = fetch
        """Finds a session that was put away. Raises what the NATS client raises."""
        self._on_change = on_change
        self._parked: dict[int, list[tuple[Report, int]]] = {}
        self._arrivals: dict[int, asyncio.Task[None]] = {}
        self._read: OrderedDict[int, Session] = OrderedDict()
        self.in_memory: dict[int, Session] = {}
        self.unsaved: set[int] = set()
        """Sessions that have changed since their last snapshot was begun."""

    def fold(self, report: Report, *, time_microseconds: int) -> None:
        """Fold a report that the stream took at that time, now or once its session is fetched.

        Raises BadReportError, and then has changed nothing.
        """
        session_id = report.session_id
        session = self.in_memory.get(session_id)
        if session is None:
            check(report)
            self._park(report, time_microseconds)
        elif session.apply(report, time_microseconds=time_microseconds):
            self.unsaved.add(session_id)
            self._on_change(session_id)

    def forget(self, session_id: int) -> None:
        """Know nothing of a session any more; its snapshots are the keeper's."""
        self.in_memory.pop(session_id, None)
        self._read.pop(session_id, None)
        self.unsaved.discard(session_id)
        if session_id in self._parked:
            self._parked[session_id].clear()

    def touch(self, session_id: int) -> None:
        """Say that a session has changed by the passing of time."""
        self.unsaved.add(session_id)
        self._on_change(session_id)

    def take_unsaved(self) -> set[int]:
        """The sessions that are to be saved; from now on they count as saved."""
        taken, self.unsaved = self.unsaved, set()
        return taken

    def put_away(self, session_id: int) -> None:
        """Forget a session that `fetch` finds from now on."""
        self._remember(session_id, self.in_memory.pop(session_id))

    async def settled(self) -> None:
        """Wait until every report that came before now is folded."""
        if self._arrivals:
            await asyncio.wait(list(self._arrivals.values()))

    async def find(self, session_id: int) -> Session | None:
        """A session, in memory or put away; None where none is known. Raises what the NATS client raises."""
        arrival = self._arrivals.get(session_id)
        if arrival is not None:
            await asyncio.wait([arrival])
        session = self.in_memory.get(session_id) or self._read.get(session_id)
        if session is None:
            session = await self._fetch(session_id)
            # It may have come into memory meanwhile, and further than it was when it was put away.
            session = self.in_memory.get(session_id) or session
            if session is not None and session_id not in self.in_memory:
                self._remember(session_id, session)
        return session

    def stop(self) -> None:
        """Fetch nothing any more."""
        for arrival in self._arrivals.values():
            arrival.cancel()

    def _park(self, report: Report, time_microseconds: int) -> None:
        session_id = report.session_id
        if session_id not in self._arrivals:
            self._parked[session_id] = []
            self._arrivals[session_id] = asyncio.create_task(self._arrive(session_id), name=f"fetch {session_id}")
        self._parked[session_id].append((report, time_microseconds))

    async def _arrive(self, session_id: int) -> None:
        """Fetch a session, or make it, and fold what was told of it meanwhile."""
        try:
            session = await self._fetch_at_last(session_id)
            parked: Iterable[tuple[Report, int]] = self._parked[session_id]
            changed = [session.apply(report, time_microseconds=time) for report, time in parked]
            # Nothing was parked where it was forgotten meanwhile.
            if any(changed):
                self._read.pop(session_id, None)
                self.in_memory[session_id] = session
                self.touch(session_id)
        finally:
            del self._parked[session_id], self._arrivals[session_id]

    async def _fetch_at_last(self, session_id: int) -> Session:
        while True:
            try:
                # What is read by others stays as it was put away.
                return await self._fetch(session_id) or Session()
            except (nats.errors.Error, TimeoutError, OSError) as error:
                log.warning("waiting for the snapshot of a session", session_id=session_id, error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)

    def _remember(self, session_id: int, session: Session) -> None:
        self._read[session_id] = session
        self._read.move_to_end(session_id)
        while len(self._read) > _READ_AGAIN:
            self._read.popitem(last=False)
