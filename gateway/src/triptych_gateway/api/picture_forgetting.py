"""Empties the cache of pictures once something was forgotten: each gateway its own, also one that was away meanwhile.

Names of cached files do not tell whom they show, so all go; they are made again when they are asked for. Pictures that
nobody asked for in a long time go too.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.logging import get_logger
from triptych_gateway.api.picture_cache import PictureCache
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away
from triptych_gateway.catalog.privacy import forgettings

log = get_logger(__name__)

LOOK_EVERY_SECONDS: Final = 1.0
_REMOVE_UNUSED_EVERY_SECONDS: Final = 3600.0
_SECONDS_PER_DAY: Final = 86400.0


class PictureForgetting:
    """Looks whether something was forgotten, until cancelled."""

    def __init__(
        self, engine: AsyncEngine, cache: PictureCache, *, keep_days: int, now: Callable[[], float] = time.time
    ) -> None:
        """``keep_days``: for how long a picture that nobody asks for is kept; 0 is for ever."""
        self._engine = engine
        self._cache = cache
        self._keep_days = keep_days
        self._now = now
        self._has_told = False

    async def run(self) -> None:
        """Look until cancelled."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            try:
                await self.look()
                if clock() >= due:
                    await self.remove_unused()
                    due = clock() + _REMOVE_UNUSED_EVERY_SECONDS
            except DATABASE_AWAY as error:
                if not is_away(error):
                    raise
                log.debug("pictures wait for the database", error=repr(error))
            except OSError as error:
                self._tell(error)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def remove_unused(self) -> None:
        """Remove pictures that nobody asked for in so many days. Raises OSError."""
        if self._keep_days:
            before_seconds = self._now() - self._keep_days * _SECONDS_PER_DAY
            removed = await asyncio.to_thread(self._cache.remove_unused, before_seconds=before_seconds)
            if removed:
                log.info("pictures that nobody asked for were removed", pictures=removed, keep_days=self._keep_days)

    def _tell(self, error: OSError) -> None:
        if not self._has_told:
            log.error("kept pictures cannot be removed; it is tried again", error=str(error))
        self._has_told = True

    async def look(self) -> None:
        """Empty the cache unless it was emptied after the last forgetting."""
        async with self._engine.connect() as connection:
            mark = await forgettings.last_done(connection)
        if await asyncio.to_thread(self._cache.emptied_for) != mark:
            removed = await asyncio.to_thread(self._cache.empty, mark)
            self._has_told = False
            log.info("pictures were removed, since something was forgotten", pictures=removed)
