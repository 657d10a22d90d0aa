"""A session that the pipeline runs in the test's own process, over real gRPC channels to some workers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import WEIGHTS, found, table
from tests.support.scripted_workers import ScriptedWorkers
from triptych_common.media.locations import MediaRoots
from triptych_common.progress.evidence import Evidence, evidence_from_json
from triptych_common.rpc.channels import ReplicaPool
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.runs import leases, lifecycle
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.sessions import control, sessions
from triptych_gateway.catalog.sessions.sessions import Session, Weighting
from triptych_gateway.pipeline.estimates.preparation import Preparation
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.photos.photo_services import EmbedderService, FaceDetectorService, PhotoService
from triptych_gateway.pipeline.session_runner import SessionRunner


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What running a session stands on."""

    engine: AsyncEngine
    photo_services: dict[str, PhotoService]
    clusterers: ReplicaPool

    async def take(self, *, photo_count: int, weighting: Weighting | None = None, folder: str = "a") -> OwnedSession:
        """A started session whose photos (``/photos/<folder>/00000`` …) were found, under a lease."""
        async with self.engine.begin() as connection:
            session_id = await sessions.create_session(
                connection,
                name="n",
                root_path=b"/photos",
                config={} if weighting is None else {"weighting": weighting},
                weights=WEIGHTS,
                category_id=None,
                shard_size=16,
            )
            paths = [f"/photos/{folder}/{number:05}".encode() for number in range(photo_count)]
            await photos.add_photos(connection, session_id, [found(path) for path in paths])
            await control.start_session(connection, session_id)
            await sessions.mark_discovered(connection, session_id)
            lease = await leases.claim(connection, holder=f"the test for {session_id}")
            # Nobody renews it, and no test is to be over before it lapses.
            await connection.execute(text("UPDATE leases SET expires_at = now() + interval '1 hour'"))
        assert lease is not None
        assert lease.session_id == session_id
        return OwnedSession(self.engine, lease)

    async def prepare(self, owned: OwnedSession, *, default_weighting: Weighting = "fixed") -> None:
        """Do what is done before the first phase."""
        preparation = Preparation(
            owned,
            photo_services=self.photo_services,
            clusterers=self.clusterers,
            default_weighting=default_weighting,
        )
        await preparation.run(await self.session(owned))

    async def run(self, owned: OwnedSession) -> None:
        """Run the session from where it stands to its end."""
        runner = SessionRunner(
            owned,
            engine=self.engine,
            roots=MediaRoots(["/photos"]),
            photo_services=self.photo_services,
            clusterers=self.clusterers,
            clustering=asyncio.Lock(),
            weighting="fixed",
        )
        await runner.run()

    async def session(self, owned: OwnedSession) -> Session:
        """The session as it is now."""
        async with self.engine.connect() as connection:
            return await sessions.get_session(connection, owned.session_id)

    async def runs(self, owned: OwnedSession) -> dict[str, Run]:
        """Its latest runs, by phase."""
        async with self.engine.connect() as connection:
            return await lifecycle.latest_runs(connection, owned.session_id)

    async def evidence(self, owned: OwnedSession) -> dict[str, Evidence]:
        """What is known of each phase's duration."""
        return {phase: evidence_from_json(run.evidence) for phase, run in (await self.runs(owned)).items()}

    async def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        async with self.engine.connect() as connection:
            return await table(connection, query, **parameters)


@contextlib.asynccontextmanager
async def pipeline_over(engine: AsyncEngine, workers: ScriptedWorkers) -> AsyncIterator[Pipeline]:
    """The pipeline over these workers."""
    async with (
        ReplicaPool([workers.embedder.address], service="embedder") as embedders,
        ReplicaPool([workers.facedetect.address], service="facedetect") as detectors,
        ReplicaPool([workers.cluster.address], service="cluster") as clusterers,
    ):
        yield Pipeline(
            engine=engine,
            photo_services={
                "training": EmbedderService(embedders),
                "face_detection": FaceDetectorService(detectors),
            },
            clusterers=clusterers,
        )
