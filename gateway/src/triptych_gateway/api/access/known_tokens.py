"""The tokens that hold, in memory: a request costs no query, and goes on while the database is away."""

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.logging import get_logger
from triptych_gateway.catalog.access.tokens import Token, digest, live_tokens
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away

log = get_logger(__name__)

REFRESH_SECONDS: Final = 2.0
"""How long a token that was revoked may hold on."""
_SOONEST_SECONDS: Final = 0.5
"""Least time between two readings: secrets that nobody was given cost the database no more than that."""


class KnownTokens:
    """Reads the catalogue's tokens again and again, and at once where a secret is not known."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._tokens: Mapping[bytes, Token] = {}
        self._read_at = -math.inf
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Follow the catalogue until cancelled."""
        is_first = True
        while True:
            try:
                await self._read_once_more()
                if is_first and not self._tokens:
                    log.warning("nobody has a token yet: `triptych token create` makes one")
                is_first = False
            except DATABASE_AWAY as error:
                if not is_away(error):
                    raise
                log.warning("tokens are not read: the database is away", error=repr(error))
            await asyncio.sleep(REFRESH_SECONDS)

    async def find(self, secret: str) -> Token | None:
        """The token of a secret; None where there is none that holds. Raises as the database does where it is away."""
        hashed = digest(secret)
        if hashed not in self._tokens:
            # Made a moment ago, perhaps.
            await self._read_once_more()
        token = self._tokens.get(hashed)
        return token if token is not None and token.is_live(datetime.now(UTC)) else None

    def holds(self, secret: str) -> bool:
        """Whether a token that was found holds still."""
        token = self._tokens.get(digest(secret))
        return token is not None and token.is_live(datetime.now(UTC))

    async def _read_once_more(self) -> None:
        """Read what is there now; whoever asks while one waits to read shares in that."""
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        async with self._reading:
            if self._read_at < asked_at:
                await asyncio.sleep(self._read_at + _SOONEST_SECONDS - asked_at)
                began = clock()
                async with self._engine.connect() as connection:
                    self._tokens = await live_tokens(connection)
                self._read_at = began
