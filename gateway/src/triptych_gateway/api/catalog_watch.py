"""The catalogue's rows of sessions, kept in the gateway's memory and renewed as they change.

One query twice a second finds every session that any gateway has changed, whatever the number of sessions and photos;
what this gateway changes itself is renewed at once. While the database is away the rows stay as they were.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.logging import get_logger
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.sessions import changes
from triptych_gateway.catalog.sessions.changes import Change, SessionRows
from triptych_gateway.catalog.sessions.sessions import Session

log = get_logger(__name__)

LOOK_EVERY_SECONDS: Final = 0.5
SILENCE_SECONDS: Final = 5.0
"""How long the database may be away before answers are marked as stale."""
_COUNTS_EVERY_SECONDS: Final = 2.0
"""How often running sessions are read where nobody else tells how far they are."""
_RECONCILE_EVERY_SECONDS: Final = 5.0
_MOST_IDLE: Final = 1000
"""Sessions kept that neither run nor are paused: the last ones that were asked for."""
_AT_ONCE: Final = 500
_UNDER_WAY: Final = frozenset({"running", "paused"})


class CatalogWatch:
    """Rows of sessions by id."""

    def __init__(self, engine: AsyncEngine, *, counts_needed: Callable[[], bool]) -> None:
        self._engine = engine
        self._counts_needed = counts_needed
        self._rows: OrderedDict[int, SessionRows] = OrderedDict()
        self._arrivals: dict[int, asyncio.Task[None]] = {}
        self._looked_at: datetime | None = None
        """The database's time when it was last looked for changes."""
        self._clock = asyncio.get_running_loop().time
        self._away_since: float | None = None
        self.on_change: Callable[[int], None] = lambda _: None
        """Called with the id of a session whose rows changed or are gone."""

    @property
    def is_stale(self) -> bool:
        """Whether the database has been away for a while."""
        return self._away_since is not None and self._clock() - self._away_since > SILENCE_SECONDS

    def known(self, session_id: int) -> SessionRows | None:
        """A session's rows, if they are in memory."""
        return self._rows.get(session_id)

    def under_way(self) -> list[int]:
        """Sessions that run or are paused."""
        return [session_id for session_id, rows in self._rows.items() if rows.session.status in _UNDER_WAY]

    async def rows(self, session_id: int) -> SessionRows:
        """A session's rows. Raises NotFoundError, and what a lost database raises where they are not in memory."""
        known = self._rows.get(session_id)
        if known is None:
            await self._arrive(session_id)
            known = self._rows.get(session_id)
        if known is None:
            raise NotFoundError(f"There is no session {session_id}.")
        if known.session.status not in _UNDER_WAY:
            self._rows.move_to_end(session_id)
        return known

    async def ended_since(self, moment: datetime) -> list[int]:
        """Sessions that ended after a moment, some hundreds at most. Raises what a lost database raises."""
        async with self._engine.connect() as connection:
            return await changes.ended_since(connection, moment, most=_MOST_IDLE)

    async def _arrive(self, session_id: int) -> None:
        """Read a session once for all who wait for it."""
        arrival = self._arrivals.get(session_id)
        if arrival is None:
            arrival = self._arrivals[session_id] = asyncio.create_task(self.refresh([session_id]))
            arrival.add_done_callback(lambda _: self._arrivals.pop(session_id))
        # Whoever gives up waiting takes nothing from the others.
        await asyncio.wait([arrival])
        arrival.result()

    async def refresh(self, session_ids: Collection[int]) -> None:
        """Read sessions now. Raises what a lost database raises."""
        wanted = list(session_ids)
        for first in range(0, len(wanted), _AT_ONCE):
            part = wanted[first : first + _AT_ONCE]
            async with self._engine.connect() as connection:
                found = await changes.load(connection, part)
            for session_id in part:
                self._take(session_id, found.get(session_id))
        self._forget_idle()

    def _take(self, session_id: int, rows: SessionRows | None) -> None:
        known = self._rows.get(session_id)
        if rows is None:
            if self._rows.pop(session_id, None) is not None:
                self.on_change(session_id)
            return
        if known is not None and _is_newer(known.session, rows.session):
            return
        self._rows[session_id] = rows
        if known != rows:
            self.on_change(session_id)

    def _forget_idle(self) -> None:
        idle = [session_id for session_id, rows in self._rows.items() if rows.session.status not in _UNDER_WAY]
        for session_id in idle[: max(0, len(idle) - _MOST_IDLE)]:
            del self._rows[session_id]

    async def prime(self) -> None:
        """Read what is under way, if the database is there."""
        try:
            await self._begin()
        except DATABASE_AWAY as error:
            self._note_away(error)

    async def run(self) -> None:
        """Follow the changes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(self._look, every=LOOK_EVERY_SECONDS), name="look for changes")
            tasks.create_task(self._repeat(self._count, every=_COUNTS_EVERY_SECONDS), name="read counts")
            tasks.create_task(self._repeat(self._reconcile, every=_RECONCILE_EVERY_SECONDS), name="reconcile")

    async def _repeat(self, work: Callable[[], Awaitable[None]], *, every: float) -> None:
        while True:
            try:
                await work()
            except DATABASE_AWAY as error:
                self._note_away(error)
            await asyncio.sleep(every)

    def _note_away(self, error: Exception) -> None:
        if not is_away(error):
            raise error
        if self._away_since is None:
            self._away_since = self._clock()
            log.warning("the database is away: sessions are shown as they were", error=repr(error))

    async def _begin(self) -> datetime:
        """Read what is under way; returns the moment from which on changes are to be looked for."""
        async with self._engine.connect() as connection:
            looked_at = await changes.database_time(connection)
            under_way = await changes.ids_under_way(connection)
        await self.refresh(under_way)
        self._looked_at = looked_at
        return looked_at

    async def _look(self) -> None:
        since = self._looked_at or await self._begin()
        async with self._engine.connect() as connection:
            found, looked_at = await changes.changed_since(connection, since)
        self._away_since = None
        await self.refresh([change.session_id for change in found if self._is_behind(change)])
        self._looked_at = looked_at

    def _is_behind(self, change: Change) -> bool:
        known = self._rows.get(change.session_id)
        return change.status in _UNDER_WAY if known is None else known.session.updated_at != change.at

    async def _count(self) -> None:
        if self._counts_needed():
            await self.refresh([one for one in self.under_way() if self._rows[one].session.status == "running"])

    async def _reconcile(self) -> None:
        """Find what no look tells: sessions deleted, and those committed by a transaction longer than the overlap."""
        known = list(self._rows)
        async with self._engine.connect() as connection:
            there = await changes.still_there(connection, known)
            under_way = await changes.ids_under_way(connection)
        for session_id in set(known) - there:
            self._take(session_id, None)
        await self.refresh([session_id for session_id in under_way if session_id not in self._rows])


def _is_newer(known: Session, read: Session) -> bool:
    """Whether a session is known newer than it was read; steps count before the clock, which may be set back."""
    return (known.lifecycle_step, known.updated_at) > (read.lifecycle_step, read.updated_at)
