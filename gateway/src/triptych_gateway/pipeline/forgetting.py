"""Forgets what somebody asked to have forgotten, and what was kept for long enough.

One gateway of all does it, part after part, from wherever it was left.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from triptych_common.logging import get_logger
from triptych_gateway.catalog.database import DATABASE_AWAY, PRIVACY_LOCK, is_away
from triptych_gateway.catalog.privacy import forgettings
from triptych_gateway.catalog.privacy.carrying_out import carry_on
from triptych_gateway.catalog.privacy.retention import KeptFor, LetGo, let_go
from triptych_gateway.catalog.privacy.waiting import MustWaitError
from triptych_gateway.pipeline.taking_turns import lock_if_free

log = get_logger(__name__)

STATEMENT_SECONDS: Final = 3600.0
"""Longest statement: the faces of somebody who is in a great part of a very large library."""
_LOOK_EVERY_SECONDS: Final = 0.5
_ASK_FOR_THE_LOCK_EVERY_SECONDS: Final = 5.0
_LET_GO_EVERY_SECONDS: Final = 3600.0


def _now() -> datetime:
    return datetime.now(UTC)


class Forgetter:
    """Works whenever it has the lock, until cancelled."""

    def __init__(self, engine: AsyncEngine, *, kept_for: KeptFor, now: Callable[[], datetime] = _now) -> None:
        """The engine must allow statements of ``STATEMENT_SECONDS``, and two connections."""
        self._engine = engine
        self._kept_for = kept_for
        self._now = now

    async def run(self) -> None:
        """Forget what is to be forgotten; where another gateway does, wait for it to go."""
        while True:
            try:
                async with lock_if_free(self._engine, PRIVACY_LOCK) as connection:
                    if connection is not None:
                        await self._keep(connection)
            except DATABASE_AWAY as error:
                if is_away(error):
                    log.warning("forgetting waits for the database", error=repr(error))
                else:
                    log.exception("something could not be forgotten; it is tried again")
            await asyncio.sleep(_ASK_FOR_THE_LOCK_EVERY_SECONDS)

    async def _keep(self, connection: AsyncConnection) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            if clock() >= due:
                await self.let_go(connection)
                due = clock() + _LET_GO_EVERY_SECONDS
            await self.look(connection)
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def let_go(self, connection: AsyncConnection) -> None:
        """Remove what was kept for long enough by now. The caller holds the lock on this connection."""
        is_all_gone = False
        while not is_all_gone:
            async with connection.begin():
                gone = await let_go(connection, self._kept_for, now=self._now())
            is_all_gone = gone == LetGo()
            if not is_all_gone:
                log.info(
                    "kept for long enough",
                    run_details=gone.run_details,
                    photos=gone.photos,
                    forgettings=gone.forgettings,
                )

    async def look(self, connection: AsyncConnection) -> None:
        """Carry on whatever is not done, as far as it can be now. The caller holds the lock on this connection."""
        async with connection.begin():
            waiting = await forgettings.open_forgettings(connection)
        for forgetting_id in waiting:
            await self._carry_out(connection, forgetting_id)

    async def _carry_out(self, connection: AsyncConnection, forgetting_id: int) -> None:
        is_done = False
        while not is_done:
            try:
                async with connection.begin():
                    is_done = await carry_on(connection, forgetting_id)
            except MustWaitError as waiting:
                async with connection.begin():
                    await forgettings.say_waiting(connection, forgetting_id, str(waiting))
                return
        async with connection.begin():
            done = await forgettings.get_forgetting(connection, forgetting_id)
        log.info(
            "forgotten",
            kind=done.kind,
            id=done.subject_id,
            persons=done.persons,
            faces=done.faces,
            photos=done.photos,
            sessions=done.sessions,
        )
