"""Removes from the stream what it has of sessions that are forgotten."""

import asyncio
from typing import Final

import nats.errors
from nats.js import JetStreamContext

from triptych_common.logging import get_logger
from triptych_common.progress.events import STREAM, subjects_of

log = get_logger(__name__)

_RETRY_SECONDS: Final = 1.0


class StreamPurger:
    """Purges one session after another until cancelled; NATS that is away is waited for. Every replica may do it."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream
        self._wanted: dict[int, int] = {}
        self._any = asyncio.Event()

    def want(self, session_id: int, *, before: int) -> None:
        """Have all events of a session removed that lie before a sequence of the stream."""
        self._wanted[session_id] = before
        self._any.set()

    async def run(self) -> None:
        """Purge until cancelled."""
        while True:
            await self._any.wait()
            self._any.clear()
            for session_id, before in tuple(self._wanted.items()):
                try:
                    await self._jetstream.purge_stream(STREAM, seq=before, subject=subjects_of(session_id))
                except (nats.errors.Error, TimeoutError, OSError) as error:
                    log.warning("events of a forgotten session wait to be removed", error=repr(error))
                    self._any.set()
                    await asyncio.sleep(_RETRY_SECONDS)
                    break
                self._wanted.pop(session_id, None)
