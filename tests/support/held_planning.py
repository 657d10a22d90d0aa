"""Plans that stand still at a place of their run, however quick they are, for as long as a test looks at them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from tests.support.real_servers import eventually

_HOLD = """
    INSERT INTO run_items (run_id, ordinal, asset_id)
    SELECT id, $3, 0 FROM runs WHERE session_id = $1 AND phase = $2 ORDER BY number DESC LIMIT 1"""
_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO run_items%'"""
_COMMITTED = """
    SELECT count(*) FROM run_items i JOIN runs r ON r.id = i.run_id WHERE r.session_id = $1 AND r.phase = $2"""


@dataclass(frozen=True, kw_only=True)
class HeldPlanning:
    """The plan of a phase's latest run, which waits for a place that is taken until it is released."""

    session_id: int
    phase: str
    observer: asyncpg.Connection
    holder: asyncpg.Connection

    async def release(self) -> None:
        """Let the plan go on."""
        await self.holder.execute("ROLLBACK")

    async def until_held(self) -> None:
        """Wait until the plan has come to the place."""
        await eventually(self._is_waiting, "the plan waits for the place")

    async def until_given_up(self) -> None:
        """Wait until nobody plans any more; the place is still taken."""

        async def is_given_up() -> bool:
            return not await self._is_waiting()

        await eventually(is_given_up, "the plan was given up")

    async def committed_items(self) -> int:
        """Places of the phase that others see."""
        return int(await self.observer.fetchval(_COMMITTED, self.session_id, self.phase))

    async def _is_waiting(self) -> bool:
        return bool(await self.observer.fetchval(_WAITING))


@contextlib.asynccontextmanager
async def held_planning(
    database_url: str, session_id: int, *, phase: str = "training", ordinal: int
) -> AsyncIterator[HeldPlanning]:
    """Have a plan that is yet to come wait before it writes a place, until it is released or the context ends."""
    holder, observer = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        # A place that a transaction has, and will give up.
        await holder.execute("BEGIN")
        await holder.execute(_HOLD, session_id, phase, ordinal)
        yield HeldPlanning(session_id=session_id, phase=phase, observer=observer, holder=holder)
    finally:
        await holder.close()
        await observer.close()
