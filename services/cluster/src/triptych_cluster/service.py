"""The clusterer's gRPC service: faces in; progress while they are grouped, assignments and a summary out."""

import asyncio
import dataclasses
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import clusterer_pb2, clusterer_pb2_grpc
from triptych_cluster.clustering import Faces, Grouping, Progress, cluster_faces
from triptych_cluster.parameters import Parameters, UnknownModelError, parameters_for
from triptych_common.errors import InvalidRequestError, OverloadedError, PreconditionError, ServiceError
from triptych_common.models import vectors_from_bytes
from triptych_common.publisher import ProgressPublisher
from triptych_common.work import Work, work_from_wire

SERVICE_NAME: Final = clusterer_pb2.DESCRIPTOR.services_by_name["Clusterer"].full_name
MAX_DIMENSION: Final = 4096
"""Longest vector that is taken, in numbers."""
ASSIGNMENTS_PER_MESSAGE: Final = 10_000
"""Faces in one message of the answer."""
PROGRESS_INTERVAL_SECONDS: Final = 0.1
"""Least time between two messages of progress."""
HEARTBEAT_SECONDS: Final = 2.0
"""Most time between two messages of progress, also where nothing has moved."""
DISCARD_SECONDS: Final = 1.0
"""How long what a refused caller still sends is read. grpcio's client shows INTERNAL instead of the refusal where that
arrives between two of its writes (2 of 100 refusals, measured)."""
RETRY_AFTER_SECONDS: Final = 5.0
"""What a refused caller is told to wait."""

STAGE_SHARES: Final = {"neighbours": (0.0, 0.87), "tree": (0.87, 0.06), "merge": (0.93, 0.07)}
"""Where each stage begins and how much of the whole it is: measured on 20,000 faces; the first grows with more."""

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
        max_concurrent_requests: int,
        receive_timeout_seconds: float,
    ) -> None:
        self._publisher = publisher
        self._max_faces = max_faces
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
            work = work_from_wire(header.work, item_count=0) if header.HasField("work") else None
            progress = _Progress(total=header.face_count, work=work, publisher=self._publisher)
            async with aclosing(self._in_turn(request_iterator, header, parameters, progress)) as messages:
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
        header: clusterer_pb2.ClusterHeader,
        parameters: Parameters,
        progress: "_Progress",
    ) -> _Answer:
        """Wait for the turn, then read, group and answer."""
        turn = asyncio.create_task(self._turn.acquire(), name="wait for a turn")
        try:
            while not (await asyncio.wait([turn], timeout=HEARTBEAT_SECONDS))[0]:
                yield progress.message()
                progress.report()
            face_ids, faces = await self._read_faces(requests, header)
            async with self._run(faces, parameters) as run:
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
        yield _summary(grouping.labels, grouping.cohesions, parameters)

    @asynccontextmanager
    async def _run(self, faces: "_RawFaces", parameters: Parameters) -> "AsyncGenerator[_Run, None]":
        """A grouping on the thread; left early, it is cancelled and waited for."""
        run = _Run(self._executor, faces, parameters)
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
        self, requests: AsyncIterator[clusterer_pb2.ClusterFacesRequest], header: clusterer_pb2.ClusterHeader
    ) -> "tuple[NDArray[np.int64], _RawFaces]":
        """All faces, as many as the header says. Raises InvalidRequestError."""
        face_ids = np.empty(header.face_count, np.int64)
        faces = _RawFaces.empty(header.face_count, header.dimension)
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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _RawFaces:
    """Faces as they came, unchecked; see Faces for the shapes."""

    embeddings: NDArray[np.float32]
    photo_ids: NDArray[np.int64]
    scores: NDArray[np.float32]

    @classmethod
    def empty(cls, count: int, dimension: int) -> "_RawFaces":
        """Room for so many faces; memory is only taken as it is filled."""
        return cls(
            embeddings=np.empty((count, dimension), np.float32),
            photo_ids=np.empty(count, np.int64),
            scores=np.empty(count, np.float32),
        )


class _Run:
    """One grouping on its thread, as the event loop sees it."""

    def __init__(self, executor: ThreadPoolExecutor, faces: _RawFaces, parameters: Parameters) -> None:
        self.newest: Progress | None = None
        """The thread's latest report; those that nobody read in between are gone."""
        self._loop = asyncio.get_running_loop()
        self._cancelled = threading.Event()
        self._moved = asyncio.Event()
        self._future = self._loop.run_in_executor(executor, self._group, faces, parameters)
        self._future.add_done_callback(self._on_end)
        self._may_report_at = 0.0

    async def moved(self) -> bool:
        """Wait until there is something to tell, or a heartbeat is due; False once the thread has ended."""
        rest_seconds = self._may_report_at - self._loop.time()
        if rest_seconds > 0:
            await asyncio.wait([self._future], timeout=rest_seconds)
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS - PROGRESS_INTERVAL_SECONDS):
                await self._moved.wait()
        except TimeoutError:
            return True
        self._moved.clear()
        self._may_report_at = self._loop.time() + PROGRESS_INTERVAL_SECONDS
        return not self._future.done()

    async def result(self) -> Grouping:
        """What was found. Raises InvalidRequestError (BAD_FACES) where the faces cannot be compared."""
        return await self._future

    async def stop(self) -> None:
        """Cancel the work if it still goes on, and wait for the thread: it stops at its next block."""
        self._cancelled.set()
        await asyncio.wait([self._future])

    def _group(self, raw: _RawFaces, parameters: Parameters) -> Grouping:
        try:
            faces = Faces(embeddings=raw.embeddings, photo_ids=raw.photo_ids, scores=raw.scores)
            parameters.metric.check(faces.embeddings)
        except ValueError as error:
            raise InvalidRequestError(str(error), reason="BAD_FACES") from error
        return cluster_faces(faces, parameters, on_progress=self._on_progress, is_cancelled=self._cancelled.is_set)

    def _on_end(self, future: "asyncio.Future[Grouping]") -> None:
        if not future.cancelled():
            # Looked at, so that the Cancelled of a run whose caller has left is not logged as forgotten.
            future.exception()
        self._moved.set()

    def _on_progress(self, progress: Progress) -> None:
        self.newest = progress
        self._loop.call_soon_threadsafe(self._moved.set)


class _Progress:
    """How far a call is, in faces' worth of work over all stages; told to its caller, then to the publisher."""

    def __init__(self, *, total: int, work: Work | None, publisher: ProgressPublisher) -> None:
        self._total = total
        self._work = work
        self._publisher = publisher
        self._stage = "neighbours"
        self._done = 0

    def advance(self, newest: Progress | None) -> None:
        """Take over what the thread reported last. Never falls, and is not whole before the answer is."""
        if newest is None:
            return
        begin, share = STAGE_SHARES[newest.stage]
        stage_done = newest.done / newest.total if newest.total else 1.0
        self._stage = newest.stage
        self._done = max(self._done, min(int((begin + share * stage_done) * self._total), self._total - 1))

    def message(self, *, whole: bool = False) -> clusterer_pb2.ClusterFacesResponse:
        """The counts for the caller; ``whole`` where nothing is left but to send the answer."""
        return clusterer_pb2.ClusterFacesResponse(
            progress=clusterer_pb2.ClusterProgress(
                stage="merge" if whole else self._stage,
                done=self._total if whole else self._done,
                total=self._total,
            )
        )

    def report(self) -> None:
        """Publish the counts."""
        if self._work is not None:
            self._publisher.report(self._work.report_stage(stage=self._stage, done=self._done, total=self._total))

    def report_whole(self) -> None:
        """Publish that all is done."""
        self._stage, self._done = "merge", self._total
        self.report()


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
