"""Runs the clustering phase: the library's faces of one model, grouped into people."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from sqlalchemy import func, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from triptych.v1 import clusterer_pb2, clusterer_pb2_grpc, work_pb2
from triptych_common.correlation import correlated
from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.progress.evidence import Evidence, evidence_from_json, evidence_to_json
from triptych_common.rpc.channels import ReplicaPool
from triptych_common.rpc.metadata import call_metadata
from triptych_common.rpc.status import read_error
from triptych_common.tracing import span
from triptych_gateway.catalog.clustering import changed_persons, face_space, former_persons, kept_graphs, regrouping
from triptych_gateway.catalog.clustering.kept_graphs import KeptGraph
from triptych_gateway.catalog.database import CLUSTERING_LOCK
from triptych_gateway.catalog.people import groups
from triptych_gateway.catalog.runs import generations, history, lifecycle
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.sessions import sessions
from triptych_gateway.pipeline.clustering import clustering_messages
from triptych_gateway.pipeline.clustering.clustering_messages import Answer
from triptych_gateway.pipeline.errors import PhaseFailedError
from triptych_gateway.pipeline.estimates import clustering_forecast
from triptych_gateway.pipeline.estimates.clustering_forecast import CLUSTERING_DEVICE
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.retrying import RETRIABLE, Backoff

log = get_logger(__name__)

SILENCE_SECONDS: Final = 120.0
"""A clusterer that sends nothing for this long is taken for lost; it reports at least every two seconds."""
ATTEMPTS: Final = 5
"""Clusterers lost in the middle of the work before the phase fails."""


class ClusteringPhase:
    """One run of clustering, from its beginning: it holds no half-done work."""

    def __init__(
        self, session: OwnedSession, run: Run, pool: ReplicaPool, engine: AsyncEngine, *, detection: Run
    ) -> None:
        self._session = session
        self._run = run
        self._pool = pool
        self._engine = engine
        self._detection = detection
        self._model = dict(detection.model or {})
        self._log = log.bind(session=run.session_id, phase=run.phase, run=run.number)
        self._began = time.monotonic()
        self._graph: KeptGraph | None = None
        """What the last clustering kept, if it is expected to be of use."""
        self._reason = ""
        """Why it is not."""

    async def run(self) -> None:
        """Group the faces and complete run and session in one transaction.

        With them the faces of a restarted detection are shown. Raises PhaseFailedError, LeaseLostError, and what a lost
        database raises.
        """
        with (
            span("phase", phase="clustering", run=self._run.number),
            correlated(phase="clustering", run=self._run.number),
        ):
            await self._run_locked()

    async def _run_locked(self) -> None:
        async with self._engine.connect() as locked:
            # One clustering of the library at a time; the lock goes with the connection.
            await locked.execute(text("SELECT pg_advisory_lock(:key)"), {"key": CLUSTERING_LOCK})
            try:
                await self._begin()
                answer = await self._cluster() if self._run.total else Answer(summary=clusterer_pb2.ClusterSummary())
                await self._end(answer)
            finally:
                await asyncio.shield(locked.invalidate())

    async def _begin(self) -> None:
        async with self._session.write() as connection:
            total = await face_space.count_space(
                connection, model_id=self._model["id"], generation=self._detection.generation
            )
            # As it is now: its forecast was renewed since the run was read.
            forecast = await clustering_forecast.expect(
                connection, model_id=self._model["id"], faces=total, generation=self._detection.generation
            )
            self._graph, self._reason = forecast.graph, forecast.reason
            run = (await lifecycle.latest_runs(connection, self._run.session_id))["clustering"]
            prepared = evidence_from_json(run.evidence)
            self._run = await lifecycle.update_run(
                connection,
                self._run.id,
                status="running",
                total=total,
                model=self._model,
                started_at=func.now(),
                evidence=evidence_to_json(Evidence(history=forecast.history, probe=prepared.probe)),
            )
        self._log.info("phase begins", faces=total, kept_faces=0 if self._graph is None else self._graph.face_count)

    async def _cluster(self) -> Answer:
        """Ask until a clusterer has answered in full."""
        backoff, lost = Backoff(), 0
        while True:
            accepted = False
            self._began = time.monotonic()
            try:
                async with self._pool.take() as replica:
                    stub = clusterer_pb2_grpc.ClustererStub(replica.channel)
                    call = stub.ClusterFaces(self._question(), metadata=call_metadata())
                    try:
                        answer = Answer()
                        while True:
                            async with asyncio.timeout(SILENCE_SECONDS):
                                message: Any = await call.read()
                            if message is grpc.aio.EOF:
                                return answer
                            accepted = True
                            answer.take(message)
                    finally:
                        call.cancel()
            except TimeoutError:
                error = None
                self._log.warning("the clusterer is silent; trying again", seconds=SILENCE_SECONDS)
            except AwayError as away:
                error = None
                self._log.warning("waiting for the clusterer", error=away.message)
            except grpc.aio.AioRpcError as failure:
                error = read_error(failure)
                if error.code is grpc.StatusCode.INVALID_ARGUMENT and self._graph is not None:
                    # Damaged, or of no meaning to an older clusterer. If it was the faces, they are refused again.
                    self._log.error("what was kept is refused; all faces are grouped", error=error.message)
                    self._graph, self._reason = None, "what was kept was refused"
                    continue
                if error.code not in RETRIABLE:
                    raise PhaseFailedError("clustering_failed", f"Clustering failed: {error.message}") from failure
                self._log.warning("clustering interrupted; trying again", code=error.code.name, error=error.message)
            lost += accepted
            if lost >= ATTEMPTS:
                raise PhaseFailedError("worker_lost", f"The clusterer was lost {lost} times in the middle of the work.")
            await backoff.wait(error)

    async def _question(self) -> AsyncIterator[clusterer_pb2.ClusterFacesRequest]:
        """The header, then all faces, then what the last clustering kept."""
        async with self._session.read() as connection:
            # Other sessions find faces meanwhile: those that are counted are those that are sent.
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            await self._recount(connection)
            header_sent = False
            async for batch in face_space.read_space(
                connection, model_id=self._model["id"], generation=self._detection.generation
            ):
                if not header_sent:
                    header_sent = True
                    yield self._header(dimension=batch.vectors.shape[1])
                yield clustering_messages.faces_message(batch)
            if self._graph is not None:
                async for message in clustering_messages.kept_messages(connection, self._graph):
                    yield message

    async def _recount(self, connection: AsyncConnection) -> None:
        """Have the run count the faces that there are in the moment that a connection sees."""
        total = await face_space.count_space(
            connection, model_id=self._model["id"], generation=self._detection.generation
        )
        if total != self._run.total:
            async with self._session.write() as writing:
                self._run = await lifecycle.update_run(writing, self._run.id, total=total)

    def _header(self, *, dimension: int) -> clusterer_pb2.ClusterFacesRequest:
        work = work_pb2.WorkUnit(
            session_id=self._run.session_id,
            phase=work_pb2.PHASE_CLUSTERING,
            run=self._run.number,
            unit="clustering",
            unit_total=self._run.total,
        )
        return clusterer_pb2.ClusterFacesRequest(
            header=clusterer_pb2.ClusterHeader(
                work=work,
                face_model_id=self._model["id"],
                dimension=dimension,
                face_count=self._run.total,
                keeps=True,
                kept=None if self._graph is None else clustering_messages.kept_header(self._graph),
            )
        )

    async def _end(self, answer: Answer) -> None:
        total = self._run.total
        found = answer.groups()
        # Of the attempt that came through: those before it and the time between them were no work of this kind.
        seconds = time.monotonic() - self._began
        parameters = dict(answer.summary.parameters) if answer.summary is not None else {}
        kept = answer.change(self._graph)
        async with self._session.write() as connection:
            # First, so that nobody waits for it who wants to say who a face is.
            if kept is not None and not await kept_graphs.write(connection, kept, model_id=self._model["id"]):
                self._log.warning("another clustering came between: the next one is of all faces")
            former = await former_persons.remember_persons(connection, model_id=self._model["id"])
            await generations.publish(connection, self._detection)
            regrouped = await regrouping.replace_clustering(
                connection,
                former=former,
                session_id=self._run.session_id,
                model_id=self._model["id"],
                parameters=parameters,
                face_count=total,
                groups=found,
                outliers=answer.outliers,
                forget_persons_of_session=self._run.forgets_persons,
            )
            await changed_persons.record_changed_persons(connection, self._run.id, regrouped.named)
            await history.record(
                connection,
                phase="clustering",
                model_id=self._model["id"],
                device=CLUSTERING_DEVICE,
                items=total,
                seconds=seconds,
                method=answer.method(),
            )
            await kept_graphs.forget_unused(connection)
            shown = await groups.count_session_groups(connection, self._run.session_id, model_id=self._model["id"])
            await lifecycle.update_run(
                connection, self._run.id, status="completed", done=total, found=shown, completed_at=func.now()
            )
            await sessions.end_session(connection, self._run.session_id, status="completed")
        for change in regrouped.named:
            self._log.info(
                "a person with a name is not the same faces any more",
                kind=change.kind,
                person=change.person_id,
                into=change.into_id,
                faces_moved=change.faces,
            )
        self._log.info(
            "phase completed",
            faces=total,
            groups=len(found),
            groups_kept=regrouped.groups_kept,
            faces_changed=regrouped.faces_changed,
            persons_changed=dict(regrouped.persons_changed),
            method=answer.method(),
            reason=self._reason or (answer.summary.reason if answer.summary is not None else ""),
            seconds=round(seconds, 2),
        )
