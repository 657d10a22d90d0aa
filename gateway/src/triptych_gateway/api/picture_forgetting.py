"""Empties the cache of pictures once something was forgotten: each gateway its own, also one that was away meanwhile.

Names of cached files do not tell whom they show, so all go; they are made again when they are asked for.
"""

import asyncio
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.logging import get_logger
from triptych_gateway.api.picture_cache import PictureCache
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away
from triptych_gateway.catalog.privacy import forgettings

log = get_logger(__name__)

LOOK_EVERY_SECONDS: Final = 1.0


class PictureForgetting:
    """Looks whether something was forgotten, until cancelled."""

    def __init__(self, engine: AsyncEngine, cache: PictureCache) -> None:
        self._engine = engine
        self._cache = cache
        self._has_told = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except DATABASE_AWAY as error:
                if not is_away(error):
                    raise
                log.debug("pictures wait for the database", error=repr(error))
            except OSError as error:
                self._tell(error)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def _tell(self, error: OSError) -> None:
        if not self._has_told:
            log.error("pictures of what was forgotten cannot be removed; it is tried again", error=str(error))
        self._has_told = True

    async def look(self) -> None:
        """Empty the cache unless it was emptied after the last forgetting."""
        async with self._engine.connect() as connection:
            mark = await forgettings.last_done(connection)
        if await asyncio.to_thread(self._cache.emptied_for) != mark:
            removed = await asyncio.to_thread(self._cache.empty, mark)
            self._has_told = False
            log.info("pictures were removed, since something was forgotten", pictures=removed)
