"""The clusterer's gRPC service: faces in; progress while they are grouped, assignments and a summary out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import clusterer_pb2, clusterer_pb2_grpc
from triptych_cluster.clustering import Grouping
from triptych_cluster.parameters import Parameters, UnknownModelError, parameters_for
from triptych_cluster.question import MemorySettings, Question, RawFaces
from triptych_cluster.running import HEARTBEAT_SECONDS, STAGE_SHARES, CallProgress, Run
from triptych_cluster.workspace import Workspace
from triptych_common.errors import InvalidRequestError, OverloadedError, PreconditionError, ServiceError
from triptych_common.models import vectors_from_bytes
from triptych_common.publisher import ProgressPublisher
from triptych_common.work import work_from_wire

SERVICE_NAME: Final = clusterer_pb2.DESCRIPTOR.services_by_name["Clusterer"].full_name
MAX_DIMENSION: Final = 4096
"""Longest vector that is taken, in numbers."""
ASSIGNMENTS_PER_MESSAGE: Final = 10_000
"""Faces in one message of the answer."""
DISCARD_SECONDS: Final = 1.0
"""How long what a refused caller still sends is read. grpcio's client shows INTERNAL instead of the refusal where that
arrives between two of its writes (2 of 100 refusals, measured)."""
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
        try:
            async with aclosing(self._answer(request_iterator)) as messages:
                async for message in messages:
                    yield message
        except ServiceError:
            await _discard(request_iterator)
            raise

    async def _answer(self, request_iterator: AsyncIterator[clusterer_pb2.ClusterFacesRequest]) -> _Answer:
        with self._place():
            header = await self._read_header(request_iterator)
            parameters = _parameters(header.face_model_id)
            if header.face_count == 0:
                yield _summary(np.empty(0, np.int32), np.empty(0, np.float32), parameters)
                return
            chosen = self._memory.plan(header, parameters)
            work = work_from_wire(header.work, item_count=0) if header.HasField("work") else None
            progress = CallProgress(
                total=header.face_count, shares=STAGE_SHARES[chosen.search], work=work, publisher=self._publisher
            )
            question = Question(header=header, parameters=parameters, plan=chosen)
            async with aclosing(self._in_turn(request_iterator, question, progress)) as messages:
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

    async def _in_turn(
        self,
        requests: AsyncIterator[clusterer_pb2.ClusterFacesRequest],
        question: Question,
        progress: CallProgress,
    ) -> _Answer:
        """Wait for the turn, then read, group and answer."""
        turn = asyncio.create_task(self._turn.acquire(), name="wait for a turn")
        try:
            while not (await asyncio.wait([turn], timeout=HEARTBEAT_SECONDS))[0]:
                yield progress.message()
                progress.report()
            workspace = self._memory.workspace(question.plan)
            face_ids, faces = await self._read_faces(requests, question.header, workspace)
            async with self._run(faces, question, workspace) as run:
                while await run.moved():
                    progress.advance(run.newest)
                    yield progress.message()
                    progress.report()
                grouping = await run.result()
        finally:
            # Without awaiting anything: a call can be cancelled once more while it cleans up.
            if turn.done() and not turn.cancelled():
                self._turn.release()
            else:
                turn.cancel()
        yield progress.message(whole=True)
        for message in _assignments(face_ids, grouping):
            yield message
        yield _summary(grouping.labels, grouping.cohesions, question.parameters)

    @asynccontextmanager
    async def _run(self, faces: RawFaces, question: Question, workspace: Workspace) -> AsyncGenerator[Run, None]:
        """A grouping on the thread; left early, it is cancelled and waited for."""
        run = Run(self._executor, faces, question, workspace)
        try:
            yield run
        finally:
            await run.stop()

    async def _read_header(
        self, requests: AsyncIterator[clusterer_pb2.ClusterFacesRequest]
    ) -> clusterer_pb2.ClusterHeader:
        request = await self._next(requests)
        if request is None or request.WhichOneof("part") != "header":
            raise InvalidRequestError("The first message must be the header.", reason="NO_HEADER")
        header = request.header
        if not 1 <= header.dimension <= MAX_DIMENSION:
            raise InvalidRequestError(
                f"The dimension is {header.dimension}, not 1 to {MAX_DIMENSION}.", reason="BAD_DIMENSION"
            )
        if header.face_count > self._max_faces:
            raise InvalidRequestError(
                f"{header.face_count:,} faces are more than this service groups at once ({self._max_faces:,});"
                " raise TRIPTYCH_MAX_FACES if its memory allows.",
                reason="TOO_MANY_FACES",
            )
        return header

    async def _read_faces(
        self,
        requests: AsyncIterator[clusterer_pb2.ClusterFacesRequest],
        header: clusterer_pb2.ClusterHeader,
        workspace: Workspace,
    ) -> tuple[NDArray[np.int64], RawFaces]:
        """All faces, as many as the header says. Raises InvalidRequestError, and PreconditionError (DISK_FULL)."""
        face_ids = np.empty(header.face_count, np.int64)
        faces = RawFaces.empty(header.face_count, header.dimension, workspace)
        read = 0
        while (request := await self._next(requests)) is not None:
            if request.WhichOneof("part") != "faces":
                raise InvalidRequestError("Only faces may follow the header.", reason="BAD_BATCH")
            batch = request.faces
            end = read + len(batch.face_ids)
            _check_batch(batch, end=end, header=header)
            face_ids[read:end] = batch.face_ids
            faces.photo_ids[read:end] = batch.photo_ids
            faces.scores[read:end] = batch.scores
            faces.sizes[read:end] = batch.sizes or 0
            faces.embeddings[read:end] = vectors_from_bytes(batch.vectors, dimension=header.dimension)
            read = end
        if read != header.face_count:
            raise InvalidRequestError(
                f"The header announces {header.face_count} faces, but {read} came.", reason="FACE_COUNT_MISMATCH"
            )
        if len(np.unique(face_ids)) != len(face_ids):
            raise InvalidRequestError("Two faces have the same id.", reason="DUPLICATE_FACE")
        return face_ids, faces

    async def _next(
        self, requests: AsyncIterator[clusterer_pb2.ClusterFacesRequest]
    ) -> clusterer_pb2.ClusterFacesRequest | None:
        """The caller's next message, or None after the last. A caller that stalls must not hold up the others."""
        try:
            async with asyncio.timeout(self._receive_timeout_seconds):
                return await anext(aiter(requests), None)
        except TimeoutError as error:
            raise InvalidRequestError(
                f"Nothing came for {self._receive_timeout_seconds:g} s.", reason="STREAM_STALLED"
            ) from error


async def _discard(requests: AsyncIterator[clusterer_pb2.ClusterFacesRequest]) -> None:
    """Read what still comes, for a while."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            async for _ in requests:
                pass


def _parameters(face_model_id: str) -> Parameters:
    try:
        return parameters_for(face_model_id)
    except UnknownModelError as error:
        raise PreconditionError(
            str(error), reason="UNKNOWN_FACE_MODEL", metadata={"face_model_id": face_model_id}
        ) from error


def _check_batch(batch: clusterer_pb2.FaceBatch, *, end: int, header: clusterer_pb2.ClusterHeader) -> None:
    """Raise InvalidRequestError where a batch's lists disagree or exceed what the header announced."""
    count = len(batch.face_ids)
    if not len(batch.photo_ids) == len(batch.scores) == count:
        raise InvalidRequestError(
            f"A batch has {count} face ids, {len(batch.photo_ids)} photo ids and {len(batch.scores)} scores.",
            reason="BAD_BATCH",
        )
    if len(batch.sizes) not in (0, count):
        raise InvalidRequestError(f"A batch has {count} face ids and {len(batch.sizes)} sizes.", reason="BAD_BATCH")
    if len(batch.vectors) != 4 * count * header.dimension:
        raise InvalidRequestError(
            f"A batch of {count} faces has {len(batch.vectors)} bytes of vectors, not {4 * count * header.dimension}.",
            reason="BAD_BATCH",
        )
    if end > header.face_count:
        raise InvalidRequestError(
            f"The header announces {header.face_count} faces, but more came.", reason="FACE_COUNT_MISMATCH"
        )


def _assignments(face_ids: NDArray[np.int64], grouping: Grouping) -> Iterator[clusterer_pb2.ClusterFacesResponse]:
    for start in range(0, len(face_ids), ASSIGNMENTS_PER_MESSAGE):
        part = slice(start, start + ASSIGNMENTS_PER_MESSAGE)
        yield clusterer_pb2.ClusterFacesResponse(
            assignments=clusterer_pb2.AssignmentBatch(
                face_ids=face_ids[part].tolist(),
                groups=grouping.labels[part].tolist(),
                probabilities=grouping.probabilities[part].tolist(),
            )
        )


def _summary(
    labels: NDArray[np.int32], cohesions: NDArray[np.float32], parameters: Parameters
) -> clusterer_pb2.ClusterFacesResponse:
    sizes = np.bincount(labels[labels >= 0], minlength=len(cohesions))
    groups = [
        clusterer_pb2.FaceGroup(face_count=int(size), cohesion=float(cohesion))
        for size, cohesion in zip(sizes, cohesions, strict=True)
    ]
    numbers = {name: float(value) for name, value in vars(parameters).items() if isinstance(value, int | float)}
    return clusterer_pb2.ClusterFacesResponse(summary=clusterer_pb2.ClusterSummary(groups=groups, parameters=numbers))
