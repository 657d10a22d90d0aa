"""Asks the gateways to announce every session again, where the stream or the snapshots do not hold it all any more."""

import asyncio
from typing import Final

import nats.errors
from nats.aio.client import Client

from triptych_common.logging import get_logger
from triptych_common.progress.events import REANNOUNCE_ACCEPTED, REANNOUNCE_SUBJECT

log = get_logger(__name__)

_ANSWER_SECONDS: Final = 2.0
_FIRST_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 15.0


class Reannouncement:
    """Asks until a gateway has accepted. What it announces comes through the stream like everything else."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._wanted = asyncio.Event()
        self.accepted = 0
        """Requests that a gateway has accepted."""

    def want(self, *, why: str) -> None:
        """Have everything announced again."""
        log.info("asking the gateways to announce every session again", why=why)
        self._wanted.set()

    async def run(self) -> None:
        """Ask whenever it is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._ask_until_accepted()
            self.accepted += 1
            log.info("a gateway announces every session again")

    async def _ask_until_accepted(self) -> None:
        pause_seconds = _FIRST_RETRY_SECONDS
        while True:
            try:
                answer = await self._client.request(REANNOUNCE_SUBJECT, b"", timeout=_ANSWER_SECONDS)
            except (nats.errors.Error, TimeoutError, OSError) as error:
                log.debug("no gateway announces yet", error=repr(error))
            else:
                if answer.data == REANNOUNCE_ACCEPTED:
                    return
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_RETRY_SECONDS)
