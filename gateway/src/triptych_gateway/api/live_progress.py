"""The aggregator's snapshots, kept in the gateway's memory: requests are answered from here."""

import asyncio
from typing import Final

import grpc

from triptych.v1 import progress_pb2, progress_pb2_grpc
from triptych_common.channels import ReplicaPool
from triptych_common.errors import AwayError
from triptych_common.logging import get_logger

log = get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
SILENCE_SECONDS: Final = 5.0
"""How long the aggregator may be away before answers are marked as stale."""


class LiveProgress:
    """Watches all sessions at the progress service; remembers the last of each while it is away."""

    def __init__(self, pool: ReplicaPool) -> None:
        self._pool = pool
        self._sessions: dict[int, progress_pb2.SessionProgress] = {}
        self._changed = asyncio.Condition()
        self._away_since: float | None = asyncio.get_running_loop().time()

    def get(self, session_id: int) -> progress_pb2.SessionProgress | None:
        """What the aggregator last said of a session."""
        return self._sessions.get(session_id)

    @property
    def is_stale(self) -> bool:
        """Whether the aggregator has been away for a while."""
        if self._away_since is None:
            return False
        return asyncio.get_running_loop().time() - self._away_since > SILENCE_SECONDS

    async def wait_for_change(self, session_id: int, *, after_revision: int, seconds: float) -> None:
        """Return when the session has a newer snapshot than that, or after so many seconds."""

        def is_newer() -> bool:
            known = self._sessions.get(session_id)
            return known is not None and known.revision > after_revision

        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(is_newer)
        except TimeoutError:
            return

    async def prime(self, *, seconds: float) -> None:
        """Learn what the aggregator knows before the first request is answered, so that no bar moves back.

        Gives up after so many seconds: answers then begin with the catalogue's counts.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if await self._list():
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            log.warning("the progress service is away: answers begin with the catalogue's counts")

    async def _list(self) -> bool:
        try:
            async with self._pool.take() as replica:
                answer = await progress_pb2_grpc.ProgressStub(replica.channel).ListSessionProgress(
                    progress_pb2.ListSessionProgressRequest()
                )
        except (grpc.aio.AioRpcError, AwayError):
            return False
        for progress in answer.progress:
            await self._take(progress)
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
                        await self._take(message.progress)
            except (grpc.aio.AioRpcError, AwayError) as error:
                if self._away_since is None:
                    log.warning("the progress service is away", error=repr(error))
                    self._away_since = asyncio.get_running_loop().time()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _take(self, progress: progress_pb2.SessionProgress) -> None:
        known = self._sessions.get(progress.session_id)
        if known is not None and known.revision > progress.revision:
            return
        async with self._changed:
            self._sessions[progress.session_id] = progress
            self._changed.notify_all()
