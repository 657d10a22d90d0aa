"""The clusterer's gRPC service: faces in; progress while they are grouped, assignments and a summary out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import clusterer_pb2, clusterer_pb2_grpc
from triptych_cluster.clustering import Grouping
from triptych_cluster.kept.incremental import most_searched
from triptych_cluster.kept.wire import kept_messages
from triptych_cluster.parameters import Parameters, UnknownModelError, parameters_for
from triptych_cluster.question import MemorySettings, Question, Received
from triptych_cluster.receiving import Receiver
from triptych_cluster.running import HEARTBEAT_SECONDS, NOBODY, CallProgress, Found, Run
from triptych_cluster.workspace import Workspace
from triptych_common.errors import OverloadedError, PreconditionError, ServiceError
from triptych_common.progress.publisher import ProgressPublisher
from triptych_common.progress.work import work_from_wire

SERVICE_NAME: Final = clusterer_pb2.DESCRIPTOR.services_by_name["Clusterer"].full_name
ASSIGNMENTS_PER_MESSAGE: Final = 10_000
"""Faces in one message of the answer."""
RETRY_AFTER_SECONDS: Final = 5.0
"""What a refused caller is told to wait."""

_Answer = AsyncGenerator[clusterer_pb2.ClusterFacesResponse, None]


class ClustererService(clusterer_pb2_grpc.ClustererServicer):
    """Groups the faces of one call at a time; others wait for their turn, up to a number of calls.

    The faces of a call that waits are not read yet: flow control leaves them with its caller.
    """

    def __init__(
        self,
        publisher: ProgressPublisher,
        *,
        max_faces: int,
        memory: MemorySettings,
        max_concurrent_requests: int,
        receive_timeout_seconds: float,
    ) -> None:
        self._publisher = publisher
        self._max_faces = max_faces
        self._memory = memory
        self._max_concurrent_requests = max_concurrent_requests
        self._receive_timeout_seconds = receive_timeout_seconds
        self._requests = 0
        self._turn = asyncio.Lock()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="cluster")

    async def close(self) -> None:
        """Stop the thread that groups; call it when no call is left."""
        await asyncio.to_thread(self._executor.shutdown)

    async def ClusterFaces(  # noqa: N802
        self, request_iterator: AsyncIterator[clusterer_pb2.ClusterFacesRequest], context: Any
    ) -> _Answer:
        """Read a header and its faces, group them, and stream progress, assignments and the summary."""
        receiver = Receiver(request_iterator, max_faces=self._max_faces, timeout_seconds=self._receive_timeout_seconds)
        try:
            async with aclosing(self._answer(receiver)) as messages:
                async for message in messages:
                    yield message
        except ServiceError:
            await receiver.discard()
            raise

    async def _answer(self, receiver: Receiver) -> _Answer:
        with self._place():
            header = await receiver.header()
            parameters = _parameters(header.face_model_id)
            plan = self._memory.plan(header, parameters)
            question = Question(header=header, parameters=parameters, plan=plan)
            if header.face_count == 0:
                yield _summary(NOBODY, question)
                return
            work = work_from_wire(header.work, item_count=0) if header.HasField("work") else None
            progress = CallProgress(total=header.face_count, work=work, publisher=self._publisher)
            async with aclosing(self._in_turn(receiver, question, progress)) as messages:
                async for message in messages:
                    yield message
            # Whole only now that the caller has everything.
            progress.report_whole()

    @contextmanager
    def _place(self) -> Iterator[None]:
        """A place among the calls that are worked on or wait. Raises OverloadedError (QUEUE_FULL)."""
        if self._requests >= self._max_concurrent_requests:
            raise OverloadedError(
                f"{self._requests} calls are here already; more are not queued.",
                reason="QUEUE_FULL",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def _in_turn(self, receiver: Receiver, question: Question, progress: CallProgress) -> _Answer:
        """Wait for the turn, then read, group and answer."""
        turn = asyncio.create_task(self._turn.acquire(), name="wait for a turn")
        reading: asyncio.Task[Received] | None = None
        try:
            async for message in _until(turn, progress):
                yield message
            workspace = self._memory.workspace(question.plan)
            reading = asyncio.create_task(receiver.rest(question, workspace), name="read the faces")
            async for message in _until(reading, progress):
                yield message
            received = await reading
            async with self._run(received, question, workspace) as run:
                while await run.moved():
                    progress.advance(run)
                    yield progress.message()
                    progress.report()
                found = await run.result()
        finally:
            # Without awaiting anything: a call can be cancelled once more while it cleans up.
            if reading is not None:
                reading.cancel()
            if turn.done() and not turn.cancelled():
                self._turn.release()
            else:
                turn.cancel()
        yield progress.message(whole=True)
        for message in _assignments(received.faces.face_ids, found.grouping):
            yield message
        if found.changes is not None:
            for message in kept_messages(found.changes):
                yield message
        yield _summary(found, question)

    @asynccontextmanager
    async def _run(self, received: Received, question: Question, workspace: Workspace) -> AsyncGenerator[Run, None]:
        """A grouping on the thread; left early, it is cancelled and waited for."""
        run = Run(self._executor, received, question, workspace)
        try:
            yield run
        finally:
            await run.stop()


async def _until(task: asyncio.Task[Any], progress: CallProgress) -> _Answer:
    """A message now and then until the task has ended."""
    while not (await asyncio.wait([task], timeout=HEARTBEAT_SECONDS))[0]:
        yield progress.message()
        progress.report()


def _parameters(face_model_id: str) -> Parameters:
    try:
        return parameters_for(face_model_id)
    except UnknownModelError as error:
        raise PreconditionError(
            str(error), reason="UNKNOWN_FACE_MODEL", metadata={"face_model_id": face_model_id}
        ) from error


def _assignments(face_ids: NDArray[np.int64], grouping: Grouping) -> Iterator[clusterer_pb2.ClusterFacesResponse]:
    for start in range(0, len(face_ids), ASSIGNMENTS_PER_MESSAGE):
        part = slice(start, start + ASSIGNMENTS_PER_MESSAGE)
        response = clusterer_pb2.ClusterFacesResponse()
        # In place: a message that is given another as a part copies it.
        assignments = response.assignments
        assignments.face_ids.extend(face_ids[part].tolist())
        assignments.groups.extend(grouping.labels[part].tolist())
        assignments.probabilities.extend(grouping.probabilities[part].tolist())
        yield response


def _summary(found: Found, question: Question) -> clusterer_pb2.ClusterFacesResponse:
    labels, cohesions = found.grouping.labels, found.grouping.cohesions
    sizes = np.bincount(labels[labels >= 0], minlength=len(cohesions))
    groups = [
        clusterer_pb2.FaceGroup(face_count=int(size), cohesion=float(cohesion))
        for size, cohesion in zip(sizes, cohesions, strict=True)
    ]
    parameters = vars(question.parameters)
    summary = clusterer_pb2.ClusterSummary(
        groups=groups,
        parameters={name: float(value) for name, value in parameters.items() if isinstance(value, int | float)},
        method=(
            clusterer_pb2.CLUSTER_METHOD_INCREMENTAL if found.is_incremental else clusterer_pb2.CLUSTER_METHOD_FULL
        ),
        reason=found.reason,
    )
    if found.changes is not None:
        kept = found.changes.latest
        summary.kept.CopyFrom(
            clusterer_pb2.KeptSummary(
                version=question.version(),
                face_count=len(kept.faces.ids),
                group_count=len(kept.near_groups.ids),
                most_new_faces=most_searched(len(kept.faces.ids)),
            )
        )
    return clusterer_pb2.ClusterFacesResponse(summary=summary)
