"""Runs one session from where it stands to its end: discovery, then the three phases in order."""

import asyncio

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.correlation import correlated
from triptych_common.logging import get_logger
from triptych_common.media.locations import MediaRoots
from triptych_common.rpc.channels import ReplicaPool
from triptych_common.tracing import span
from triptych_gateway.catalog.runs import lifecycle
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.schema import runs
from triptych_gateway.catalog.sessions import jobs, sessions
from triptych_gateway.catalog.sessions.sessions import Session, Weighting
from triptych_gateway.pipeline.clustering.clustering_phase import ClusteringPhase
from triptych_gateway.pipeline.discovery.photo_discovery import PhotoDiscovery
from triptych_gateway.pipeline.errors import PhaseFailedError
from triptych_gateway.pipeline.estimates.preparation import Preparation
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.photos.photo_phase import PhotoPhase
from triptych_gateway.pipeline.photos.photo_services import PhotoService

log = get_logger(__name__)


class SessionRunner:
    """Everything that one session needs to be run."""

    def __init__(
        self,
        owned: OwnedSession,
        *,
        engine: AsyncEngine,
        roots: MediaRoots,
        photo_services: dict[str, PhotoService],
        clusterers: ReplicaPool,
        clustering: asyncio.Lock,
        weighting: Weighting,
    ) -> None:
        self._owned = owned
        self._engine = engine
        self._roots = roots
        self._photo_services = photo_services
        self._clusterers = clusterers
        self._clustering = clustering
        self._weighting = weighting
        self._log = log.bind(session=owned.session_id)

    async def run(self) -> None:
        """Bring the session to its end: completed, or failed with its reason.

        Raises LeaseLostError and what a lost database raises; the session then goes on elsewhere, or later.
        """
        async with self._owned.read() as connection:
            session = await sessions.get_session(connection, self._owned.session_id)
            traceparent = await sessions.traceparent_of(connection, session.id)
        epoch = self._owned.lease.epoch
        with span("session", parent=traceparent, session=session.id, epoch=epoch), correlated(session=session.id):
            await self._run_from(session)

    async def _run_from(self, session: Session) -> None:
        try:
            if session.discovered_at is None:
                with span("discovery"):
                    await self._discover(session)
            else:
                # The aggregator may have lost its stream meanwhile; saying it again does no harm.
                async with self._owned.write() as connection:
                    await lifecycle.announce_all(connection, session.id)
            if await self._complete_if_empty():
                return
            await self._prepare()
            for phase, service in self._photo_services.items():
                run = await self._run_of(phase)
                if run.status != "completed":
                    await PhotoPhase(self._owned, run, service).run()
            await self._cluster()
            self._log.info("session completed")
        except PhaseFailedError as failure:
            await self.fail(self._owned, failure)

    async def _cluster(self) -> None:
        phase = ClusteringPhase(
            self._owned,
            await self._run_of("clustering"),
            self._clusterers,
            self._engine,
            detection=await self._run_of("face_detection"),
        )
        async with self._clustering:
            await phase.run()

    async def _complete_if_empty(self) -> bool:
        """Complete a session without photos, whether the services answer or not: there is nothing to ask them for."""
        async with self._owned.write() as connection:
            if await jobs.count_jobs(connection, self._owned.session_id):
                return False
            latest = await lifecycle.latest_runs(connection, self._owned.session_id)
            for phase in sessions.PHASES:
                if latest[phase].status != "completed":
                    await lifecycle.update_run(
                        connection,
                        latest[phase].id,
                        status="completed",
                        started_at=func.coalesce(runs.c.started_at, func.now()),
                        completed_at=func.now(),
                    )
            await sessions.end_session(connection, self._owned.session_id, status="completed")
        self._log.info("session completed: it has no photos")
        return True

    async def _prepare(self) -> None:
        async with self._owned.read() as connection:
            session = await sessions.get_session(connection, self._owned.session_id)
        if session.prepared_at is None:
            preparation = Preparation(
                self._owned,
                photo_services=self._photo_services,
                clusterers=self._clusterers,
                default_weighting=self._weighting,
            )
            await preparation.run(session)

    async def _run_of(self, phase: str) -> Run:
        async with self._owned.read() as connection:
            return (await lifecycle.latest_runs(connection, self._owned.session_id))[phase]

    async def _discover(self, session: Session) -> None:
        """Record every photo of the session's directories; totals are final afterwards."""
        count = await PhotoDiscovery(self._owned, self._roots).run(session)
        async with self._owned.write() as connection:
            await sessions.mark_discovered(connection, session.id, photos_found=count)
            # What is ahead is known now: the phases of photos have as many items as there are photos.
            for phase in self._photo_services:
                run = (await lifecycle.latest_runs(connection, session.id))[phase]
                if run.status == "pending":
                    await lifecycle.update_run(connection, run.id, total=count)
        self._log.info("photos discovered", photos=count)

    @staticmethod
    async def fail(owned: OwnedSession, failure: PhaseFailedError) -> None:
        """End the session as failed, in the first phase that is not completed.

        Raises LeaseLostError and what a lost database raises.
        """
        async with owned.write() as connection:
            latest = await lifecycle.latest_runs(connection, owned.session_id)
            run = next(latest[phase] for phase in sessions.PHASES if latest[phase].status != "completed")
            await lifecycle.update_run(
                connection,
                run.id,
                status="failed",
                error_code=failure.code,
                error_message=failure.message,
                completed_at=func.now(),
            )
            await sessions.end_session(
                connection,
                owned.session_id,
                status="failed",
                error_code=failure.code,
                error_message=failure.message,
            )
        log.error("session failed", session=owned.session_id, phase=run.phase, code=failure.code, error=failure.message)
