"""Writes snapshots of what has changed, and puts sessions away that have long been over."""

import asyncio
from collections.abc import Callable
from typing import Final

import nats.errors

from triptych_common.logging import get_logger
from triptych_progress.session import MICROSECOND
from triptych_progress.sessions import Sessions
from triptych_progress.snapshot_store import SnapshotStore
from triptych_progress.snapshots import Position

log = get_logger(__name__)

_AT_ONCE: Final = 16
"""Snapshots that are on their way at the same time: enough to hide the round trip, few enough to keep folding."""


class SnapshotKeeper:
    """Keeps the store abreast of the sessions in memory."""

    def __init__(
        self, store: SnapshotStore, sessions: Sessions, *, position: Callable[[], Position], evict_after_seconds: float
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._position = position
        self._evict_after_seconds = evict_after_seconds
        self._saved_position = Position()
        self._forgotten: set[int] = set()
        self._clock = asyncio.get_running_loop().time
        self._saved_at = self._clock()

    @property
    def age_seconds(self) -> float:
        """How long ago the snapshots last covered all that was folded."""
        return self._clock() - self._saved_at

    def forget(self, session_id: int) -> None:
        """Have the snapshots of a session removed with the next saving, after whatever is being written now."""
        self._forgotten.add(session_id)

    async def save(self) -> None:
        """Remove what is forgotten, write every changed session, then the position that they cover together.

        Raises what the NATS client raises; what was not written then is still unsaved.
        """
        now, position = self._clock(), self._position()
        await self._sessions.settled()
        unsaved = self._sessions.take_unsaved()
        for session_id in tuple(self._forgotten):
            await self._store.forget(session_id)
            self._forgotten.discard(session_id)
        if unsaved or position != self._saved_position:
            await self._save_sessions(unsaved, position)
            await self._store.save_position(position)
            self._saved_position = position
        self._saved_at = now

    async def _save_sessions(self, session_ids: set[int], position: Position) -> None:
        """Write sessions, several at a time; on trouble those that were not written are unsaved again."""
        waiting = set(session_ids)
        in_turn = iter(session_ids)

        async def write_some() -> None:
            for session_id in in_turn:
                session = self._sessions.in_memory.get(session_id)
                # One that was forgotten meanwhile is not written.
                if session is not None:
                    await self._store.save(session_id, session, position=position)
                waiting.discard(session_id)

        try:
            results = await asyncio.gather(*(write_some() for _ in range(_AT_ONCE)), return_exceptions=True)
        finally:
            self._sessions.unsaved |= waiting
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def evict(self, *, now_microseconds: float) -> None:
        """Put sessions away that have been over for a while. Raises what the NATS client raises."""
        oldest = now_microseconds - self._evict_after_seconds / MICROSECOND
        over = [
            (session_id, session, session.revision)
            for session_id, session in self._sessions.in_memory.items()
            if session.revision < oldest and session.is_over() and session_id not in self._sessions.unsaved
        ]
        for session_id, session, revision in over:
            await self._store.save_ended(session_id, session, position=self._saved_position)
            if session.revision == revision and session_id in self._sessions.in_memory:
                self._sessions.put_away(session_id)
                await self._store.forget_live(session_id)
        if over:
            log.info("sessions put away", sessions=len(over), in_memory=len(self._sessions.in_memory))

    async def save_at_the_end(self, *, seconds: float) -> None:
        """Write what can be written in that time; for an orderly end."""
        try:
            async with asyncio.timeout(seconds):
                await self.save()
        except (nats.errors.Error, TimeoutError, OSError) as error:
            log.warning("snapshots left unwritten", sessions=len(self._sessions.unsaved), error=repr(error))
