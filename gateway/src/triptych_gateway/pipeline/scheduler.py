"""Takes sessions that nobody runs, and runs them under a lease."""

import asyncio
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.logging import get_logger
from triptych_common.media.locations import MediaRoots
from triptych_common.progress.publisher import WORKER
from triptych_common.rpc.channels import ReplicaPool
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away
from triptych_gateway.catalog.runs import leases
from triptych_gateway.catalog.runs.leases import RENEW_SECONDS, Lease, LeaseLostError
from triptych_gateway.catalog.runs.presence import keep_presence
from triptych_gateway.catalog.sessions import sessions
from triptych_gateway.catalog.sessions.sessions import Weighting
from triptych_gateway.pipeline.errors import PhaseFailedError
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.photos.photo_services import PhotoService
from triptych_gateway.pipeline.session_runner import SessionRunner

log = get_logger(__name__)

POLL_SECONDS: Final = 1.0
HEED_EVERY_SECONDS: Final = 1.0
"""How often a gateway looks whether another one was told to pause or cancel a session that runs here."""


class Scheduler:
    """Claims and runs sessions, a few at once, until cancelled; leases are given back at the end."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        roots: MediaRoots,
        photo_services: dict[str, PhotoService],
        clusterers: ReplicaPool,
        max_sessions: int,
        weighting: Weighting = "fixed",
    ) -> None:
        self._engine = engine
        self._roots = roots
        self._photo_services = photo_services
        self._clusterers = clusterers
        self._weighting: Weighting = weighting
        self._room = asyncio.Semaphore(max_sessions)
        self._wake = asyncio.Event()
        self._running: dict[int, asyncio.Task[None]] = {}
        """What works on each session; also one that is to stop, until it has."""
        # One clustering of the library at a time: those that wait here hold no connection to the database.
        self._clustering = asyncio.Lock()

    def wake(self) -> None:
        """A session was started: look at once."""
        self._wake.set()

    def halt(self, session_id: int) -> None:
        """A session was paused, cancelled or deleted: stop working on it at once."""
        if session_id in self._running:
            self._running[session_id].cancel()

    async def run(self) -> None:
        """Take and run sessions until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_presence(self._engine, holder=WORKER), name="sign of life")
            tasks.create_task(self._heed_buttons(), name="heed buttons")
            while True:
                await self._room.acquire()
                lease = await self._claim()
                if lease is not None:
                    runner = SessionRunner(
                        OwnedSession(self._engine, lease),
                        engine=self._engine,
                        roots=self._roots,
                        photo_services=self._photo_services,
                        clusterers=self._clusterers,
                        clustering=self._clustering,
                        weighting=self._weighting,
                    )
                    working = asyncio.create_task(runner.run(), name=f"run session {lease.session_id}")
                    self._running[lease.session_id] = working
                    tasks.create_task(self._run_session(lease, working), name=f"session {lease.session_id}")
                    continue
                self._room.release()
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    continue
                finally:
                    self._wake.clear()

    async def _claim(self) -> Lease | None:
        try:
            async with self._engine.begin() as connection:
                return await leases.claim(connection, holder=WORKER, running=self._running)
        except DATABASE_AWAY as error:
            log.warning("the database is away", error=_line(error))
            return None

    async def _run_session(self, lease: Lease, working: asyncio.Task[None]) -> None:
        """Run a session while its lease is renewed; whichever ends first ends the other."""
        log.info("session taken", session=lease.session_id, epoch=lease.epoch)
        owned = OwnedSession(self._engine, lease)
        renewing = asyncio.create_task(self._renew(lease), name=f"renew lease {lease.session_id}")
        try:
            await asyncio.wait([working, renewing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.wait([working, renewing])
            await self._settle(owned, working)
            del self._running[lease.session_id]
            self._room.release()
            # It may have been resumed while it was stopping.
            self.wake()

    async def _heed_buttons(self) -> None:
        """Stop sessions that another gateway was told to pause, cancel or delete."""
        while True:
            await asyncio.sleep(HEED_EVERY_SECONDS)
            if not self._running:
                continue
            try:
                async with self._engine.connect() as connection:
                    going = await sessions.still_running(connection, self._running)
            except DATABASE_AWAY as error:
                if not is_away(error):
                    raise
                log.warning("whether sessions are to stop is not known: the database is away", error=_line(error))
                continue
            for session_id in self._running.keys() - going:
                self.halt(session_id)

    async def _renew(self, lease: Lease) -> None:
        """Keep the lease; returns when it is lost."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                async with self._engine.begin() as connection:
                    await leases.renew(connection, lease)
            except LeaseLostError:
                log.info("lease lost: the session was halted, or is run by another gateway", session=lease.session_id)
                return
            except DATABASE_AWAY as error:
                log.warning("the lease could not be renewed", session=lease.session_id, error=_line(error))

    async def _settle(self, owned: OwnedSession, working: asyncio.Task[None]) -> None:
        """Give the lease back, and let nothing that went wrong pass without a word."""
        error = None if working.cancelled() else working.exception()
        if isinstance(error, LeaseLostError):
            return
        if error is not None and is_away(error):
            log.warning("session interrupted: the database is away", session=owned.session_id, error=_line(error))
        elif error is not None:
            log.error("session interrupted by a defect", session=owned.session_id, exc_info=error)
            await self._fail(owned, error)
        try:
            async with self._engine.begin() as connection:
                await leases.release(connection, owned.lease)
        except DATABASE_AWAY as away:
            log.warning("the lease could not be given back; it will lapse", error=_line(away))

    async def _fail(self, owned: OwnedSession, error: BaseException) -> None:
        failure = PhaseFailedError(
            "internal_error", f"Triptych failed ({type(error).__name__}); its log has the details."
        )
        try:
            await SessionRunner.fail(owned, failure)
        except (*DATABASE_AWAY, LeaseLostError) as away:
            log.warning("the failure could not be recorded", session=owned.session_id, error=_line(away))


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
