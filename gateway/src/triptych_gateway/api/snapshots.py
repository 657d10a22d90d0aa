"""Snapshots of sessions out of the gateway's memory: made once per change for all readers, however many there are.

A snapshot joins the catalogue's rows (`catalog_watch`) with the aggregator's last message (`live_progress`). Both stay
in memory while PostgreSQL, NATS or the progress service is away, and so do the answers.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from triptych_common.logging import get_logger
from triptych_gateway.api import schemas
from triptych_gateway.api.aliases import with_aliases
from triptych_gateway.api.catalog_watch import CatalogWatch
from triptych_gateway.api.health_watch import HealthWatch
from triptych_gateway.api.live_progress import LiveProgress
from triptych_gateway.api.unified import Json, unify
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away
from triptych_gateway.catalog.sessions.changes import SessionRows

log = get_logger(__name__)

TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})
FRESH_SECONDS: Final = 1.0
"""How long a snapshot stands without a change: elapsed time and ETA run on."""
_LOOK_EVERY_SECONDS: Final = 2.0
"""How often readers are told of what no event tells: that an answer is stale, that a stall lasts."""
_STALL_NEWS_SECONDS: Final = 10
_MOST_SNAPSHOTS: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A session at a moment, as it is sent."""

    session_id: int
    status: str
    revision: int
    content: bytes
    """JSON."""
    changed_at: datetime
    """When the catalogue's rows changed last, by the database's clock."""
    news: tuple[int, bool, int]
    """What makes it another one for the readers of a stream: revision, staleness, how long a stall has lasted."""
    made_at_seconds: float

    @property
    def is_terminal(self) -> bool:
        """Whether the session is over."""
        return self.status in TERMINAL


class Snapshots:
    """Sessions as readers see them."""

    def __init__(self, *, catalog: CatalogWatch, live: LiveProgress, health: HealthWatch) -> None:
        self._catalog = catalog
        self._live = live
        self._health = health
        self._clock = asyncio.get_running_loop().time
        self._made: OrderedDict[int, Snapshot] = OrderedDict()
        self._readers: defaultdict[int, set[Reader]] = defaultdict(set)
        self._readers_of_all: set[Reader] = set()
        self.closing = False
        catalog.on_change = self._on_change
        live.on_change = self._on_change

    def in_memory(self, session_id: int) -> Snapshot | None:
        """The session as it stands now; None where its rows are not in memory."""
        made = self._made.get(session_id)
        if made is not None and self._clock() - made.made_at_seconds < FRESH_SECONDS:
            return made
        rows = self._catalog.known(session_id)
        return self._keep(self._make(rows)) if rows is not None else None

    async def get(self, session_id: int) -> Snapshot:
        """The session as it stands now.

        Raises NotFoundError, and what a lost database raises where the session is not in memory.
        """
        snapshot = self.in_memory(session_id)
        if snapshot is None:
            rows = await self._catalog.rows(session_id)
            await self._hear_of_ended([rows])
            snapshot = self._keep(self._make(rows))
        return snapshot

    async def body(self, session_id: int) -> schemas.UnifiedProgress:
        """The session as it stands now, as a body. Raises as `get` does."""
        [body] = await self.bodies([await self._catalog.rows(session_id)])
        return body

    async def bodies(self, several: Sequence[SessionRows]) -> list[schemas.UnifiedProgress]:
        """Sessions whose rows were just read, as bodies, in the same order."""
        await self._hear_of_ended(several)
        return [schemas.UnifiedProgress.model_validate(self._unify(rows)) for rows in several]

    async def _hear_of_ended(self, several: Sequence[SessionRows]) -> None:
        """Have the aggregator's counts of sessions that did not end well.

        It may have seen more than was committed, and the bar must not move back.
        """
        ended = [rows.session.id for rows in several if rows.session.status in ("failed", "cancelled")]
        await self._live.fetch(ended)

    async def refresh(self, session_id: int) -> None:
        """Read a session now that this gateway has changed it, so that the next answer shows it."""
        await self._catalog.refresh([session_id])

    def under_way(self) -> list[int]:
        """Sessions that run or are paused."""
        return self._catalog.under_way()

    async def ended_since(self, moment: datetime) -> list[int]:
        """Sessions that ended after a moment by the database's clock; none while the database is away."""
        try:
            return await self._catalog.ended_since(moment)
        except DATABASE_AWAY as error:
            if not is_away(error):
                raise
            log.warning("a progress stream begins without what ended meanwhile", error=repr(error))
            return []

    def read(self, session_id: int | None) -> "Reader":
        """A reader of one session, or of all; to be closed."""
        reader = Reader(self, session_id)
        (self._readers_of_all if session_id is None else self._readers[session_id]).add(reader)
        return reader

    def forget(self, reader: "Reader") -> None:
        """A reader is gone."""
        if reader.session_id is None:
            self._readers_of_all.discard(reader)
            return
        readers = self._readers[reader.session_id]
        readers.discard(reader)
        if not readers:
            del self._readers[reader.session_id]

    async def run(self) -> None:
        """Tell readers of what no event tells, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            watched = {*self._readers, *(self.under_way() if self._readers_of_all else ())}
            for session_id in watched:
                made, rows = self._made.get(session_id), self._catalog.known(session_id)
                if made is not None and rows is not None and not made.is_terminal:
                    anew = self._make(rows)
                    if anew.news != made.news:
                        self._keep(anew)
                        self._wake(session_id)

    def close(self) -> None:
        """End all streams: readers find `closing` set."""
        self.closing = True
        for reader in [*self._readers_of_all, *(one for readers in self._readers.values() for one in readers)]:
            reader.wake(0)

    def _on_change(self, session_id: int) -> None:
        self._made.pop(session_id, None)
        self._wake(session_id)

    def _wake(self, session_id: int) -> None:
        for reader in self._readers.get(session_id, ()):
            reader.wake(session_id)
        for reader in self._readers_of_all:
            reader.wake(session_id)

    def _keep(self, snapshot: Snapshot) -> Snapshot:
        self._made[snapshot.session_id] = snapshot
        self._made.move_to_end(snapshot.session_id)
        while len(self._made) > _MOST_SNAPSHOTS:
            self._made.popitem(last=False)
        return snapshot

    def _make(self, rows: SessionRows) -> Snapshot:
        body = self._unify(rows)
        stall = body["overallProgress"]["stall"]
        lasts = 0 if stall is None else 1 + stall["seconds"] // _STALL_NEWS_SECONDS
        return Snapshot(
            session_id=body["sessionId"],
            status=body["overallStatus"],
            revision=body["revision"],
            content=orjson.dumps(with_aliases(body)),
            changed_at=rows.session.updated_at,
            news=(body["revision"], body["stale"], lasts),
            made_at_seconds=self._clock(),
        )

    def _unify(self, rows: SessionRows) -> Json:
        heard = self._live.get(rows.session.id)
        return unify(
            rows.session,
            rows.runs,
            heard.progress if heard is not None else None,
            now=datetime.now(UTC),
            stale=self._live.is_stale or self._catalog.is_stale,
            heard_seconds_ago=self._clock() - heard.at_seconds if heard is not None else 0.0,
            away=frozenset(name for name, one in self._health.services.items() if one.status == "away"),
        )


class Reader:
    """One open stream: which sessions changed since it looked last. A slow one finds only the newest of each."""

    def __init__(self, snapshots: Snapshots, session_id: int | None) -> None:
        self._snapshots = snapshots
        self.session_id = session_id
        self._unread: dict[int, None] = {}
        self._ready = asyncio.Event()

    def wake(self, session_id: int) -> None:
        """A session changed."""
        self._unread[session_id] = None
        self._ready.set()

    async def changed(self, *, seconds: float) -> list[int]:
        """Sessions that changed since the last time, waiting at most so long for one; none where none did."""
        if not self._ready.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._ready.wait()
            except TimeoutError:
                return []
        self._ready.clear()
        unread = [session_id for session_id in self._unread if session_id]
        self._unread.clear()
        return unread

    def close(self) -> None:
        """Read no more."""
        self._snapshots.forget(self)
