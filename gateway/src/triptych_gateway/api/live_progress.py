"""The aggregator's messages, kept in the gateway's memory: what it last said of each session, also while it is away."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import grpc

from triptych.v1 import progress_pb2, progress_pb2_grpc
from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.rpc.channels import ReplicaPool

log = get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
_FETCH_SECONDS: Final = 1.0
_MOST_SESSIONS: Final = 20_000
"""Messages that are kept; those heard longest ago go first. A message is about a kilobyte."""
SILENCE_SECONDS: Final = 5.0
"""How long the aggregator may be away before answers are marked as stale."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A message of the aggregator, and when it came by the event loop's clock."""

    progress: progress_pb2.SessionProgress
    at_seconds: float


class LiveProgress:
    """Watches all sessions at the progress service."""

    def __init__(self, pool: ReplicaPool) -> None:
        self._pool = pool
        self._heard: OrderedDict[int, Heard] = OrderedDict()
        self._clock = asyncio.get_running_loop().time
        self._away_since: float | None = self._clock()
        self.on_change: Callable[[int], None] = lambda _: None
        """Called with the id of a session that something new was said of."""

    def get(self, session_id: int) -> Heard | None:
        """What the aggregator last said of a session."""
        return self._heard.get(session_id)

    @property
    def is_stale(self) -> bool:
        """Whether the aggregator has been away for a while."""
        return self._away_since is not None and self._clock() - self._away_since > SILENCE_SECONDS

    async def prime(self, *, seconds: float) -> None:
        """Learn what the aggregator knows before the first request is answered, so that no bar moves back.

        Gives up after so many seconds: answers then begin with the catalogue's counts.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if await self._list([]):
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            log.warning("the progress service is away: answers begin with the catalogue's counts")

    async def fetch(self, session_ids: Collection[int]) -> None:
        """Ask for sessions, which may be over and no longer be told of; without an answer they stay unknown."""
        unknown = [session_id for session_id in session_ids if session_id not in self._heard]
        if unknown and self._away_since is None:
            await self._list(unknown)

    async def _list(self, session_ids: list[int]) -> bool:
        try:
            async with self._pool.take() as replica:
                answer = await progress_pb2_grpc.ProgressStub(replica.channel).ListSessionProgress(
                    progress_pb2.ListSessionProgressRequest(session_ids=session_ids), timeout=_FETCH_SECONDS
                )
        except (grpc.aio.AioRpcError, AwayError) as error:
            log.debug("the progress service did not answer", error=repr(error))
            return False
        for progress in answer.progress:
            self._take(progress)
        return True

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                async with self._pool.take() as replica:
                    call = progress_pb2_grpc.ProgressStub(replica.channel).WatchSessionProgress(
                        progress_pb2.WatchSessionProgressRequest()
                    )
                    # Unlike initial_metadata(), this raises where nobody is reached.
                    await call.wait_for_connection()
                    self._away_since = None
                    async for message in call:
                        for progress in (message.progress, *message.more):
                            self._take(progress)
            except (grpc.aio.AioRpcError, AwayError) as error:
                if self._away_since is None:
                    log.warning("the progress service is away", error=repr(error))
                    self._away_since = self._clock()
            await asyncio.sleep(_RETRY_SECONDS)

    def _take(self, progress: progress_pb2.SessionProgress) -> None:
        known = self._heard.get(progress.session_id)
        if known is not None and known.progress.revision >= progress.revision:
            return
        self._heard[progress.session_id] = Heard(progress=progress, at_seconds=self._clock())
        self._heard.move_to_end(progress.session_id)
        while len(self._heard) > _MOST_SESSIONS:
            self._heard.popitem(last=False)
        self.on_change(progress.session_id)
