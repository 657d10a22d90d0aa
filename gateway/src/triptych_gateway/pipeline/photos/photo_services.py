"""The two services that take photos, behind one face: requests out, outcomes in."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final

from triptych.v1 import embedder_pb2, embedder_pb2_grpc, face_detector_pb2, face_detector_pb2_grpc, image_pb2, work_pb2
from triptych_common.media.failure_messages import failure_code_from_wire
from triptych_common.media.locations import uri_from_path
from triptych_common.models.description import ModelInfo, model_from_wire, vectors_from_bytes
from triptych_common.progress.events import PHASES_BY_NAME
from triptych_common.rpc.channels import Replica, ReplicaPool
from triptych_common.rpc.metadata import call_metadata
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.runs.results import FoundFace, Outcome, PhotoError, PhotoFacts
from triptych_gateway.catalog.runs.shards import Shard, ShardItem
from triptych_gateway.pipeline.backlog import Backlog
from triptych_gateway.pipeline.concurrency import AdaptiveLimit

CATALOGUE_USERS: Final = 6
"""Shards of a service that use the catalogue at once. Together with what else asks for connections they are fewer than
the pool has: a place in it is waited for as long as a slow database takes, but a connection only until it counts as
away."""
MODEL_INFO_SECONDS = 10.0
"""Deadline of a question about the model."""


class PhotoService(ABC):
    """A service that works through photos."""

    def __init__(self, pool: ReplicaPool) -> None:
        self.pool = pool
        self.limit = AdaptiveLimit(start=2)
        """Shards in flight, of all sessions."""
        pool.tell(lambda replicas: self.limit.follow(replicas=replicas))
        self.backlog = Backlog()
        """Shards that are not finished, of all sessions."""
        self.catalogue_places = asyncio.Semaphore(CATALOGUE_USERS)
        """A place for each shard that uses the catalogue now, of all sessions."""

    @abstractmethod
    async def model(self) -> ModelInfo:
        """The model that runs. Raises grpc.aio.AioRpcError and AwayError."""

    @abstractmethod
    def call(
        self, replica: Replica, items: Sequence[ShardItem], *, model_id: str, work: work_pb2.WorkUnit | None = None
    ) -> Any:
        """Begin a streaming call over some photos; ``work`` is the shard to report progress of, if any."""

    @abstractmethod
    def read(self, message: Any, items: dict[int, ShardItem], *, dimension: int) -> list[Outcome]:
        """The outcomes in a message, by the photos that were asked for. Raises ValueError for a malformed one."""


class EmbedderService(PhotoService):
    """Embedder as the training phase uses it."""

    async def model(self) -> ModelInfo:
        """The embedding model."""
        async with self.pool.take() as replica:
            answer = await embedder_pb2_grpc.EmbedderStub(replica.channel).GetModelInfo(
                embedder_pb2.EmbedderGetModelInfoRequest(), timeout=MODEL_INFO_SECONDS
            )
        return model_from_wire(answer.model)

    def call(
        self, replica: Replica, items: Sequence[ShardItem], *, model_id: str, work: work_pb2.WorkUnit | None = None
    ) -> Any:
        """Begin EmbedImages."""
        request = embedder_pb2.EmbedImagesRequest(work=work, items=_items(items), model_id=model_id)
        return embedder_pb2_grpc.EmbedderStub(replica.channel).EmbedImages(request, metadata=call_metadata())

    def read(
        self, message: embedder_pb2.EmbedImagesResponse, items: dict[int, ShardItem], *, dimension: int
    ) -> list[Outcome]:
        """Vectors and errors."""
        return _outcomes(
            message, items, lambda one: vectors_from_bytes(one.vector, dimension=dimension).reshape(dimension)
        )


class FaceDetectorService(PhotoService):
    """FaceDetector as the face-detection phase uses it."""

    async def model(self) -> ModelInfo:
        """The face model."""
        async with self.pool.take() as replica:
            answer = await face_detector_pb2_grpc.FaceDetectorStub(replica.channel).GetModelInfo(
                face_detector_pb2.FaceDetectorGetModelInfoRequest(), timeout=MODEL_INFO_SECONDS
            )
        return model_from_wire(answer.model)

    def call(
        self, replica: Replica, items: Sequence[ShardItem], *, model_id: str, work: work_pb2.WorkUnit | None = None
    ) -> Any:
        """Begin DetectFaces."""
        request = face_detector_pb2.DetectFacesRequest(work=work, items=_items(items), model_id=model_id)
        return face_detector_pb2_grpc.FaceDetectorStub(replica.channel).DetectFaces(request, metadata=call_metadata())

    def read(
        self, message: face_detector_pb2.DetectFacesResponse, items: dict[int, ShardItem], *, dimension: int
    ) -> list[Outcome]:
        """Faces and errors."""
        return _outcomes(message, items, lambda one: tuple(_face(face, dimension) for face in one.faces.faces))


def work_of(run: Run, shard: Shard) -> work_pb2.WorkUnit:
    """A shard as services name it in their reports."""
    return work_pb2.WorkUnit(
        session_id=run.session_id,
        phase=PHASES_BY_NAME[run.phase],
        run=run.number,
        unit=shard.unit,
        unit_total=shard.size,
        done_before=shard.done,
        failed_before=shard.failed,
    )


def _items(items: Sequence[ShardItem]) -> list[image_pb2.ImageItem]:
    return [
        image_pb2.ImageItem(item_id=item.ordinal, image=image_pb2.ImageSource(uri=uri_from_path(item.path)))
        for item in items
    ]


def _outcomes(message: Any, items: dict[int, ShardItem], result: Callable[[Any], Any]) -> list[Outcome]:
    """The outcomes of a message of either service; ``result`` reads what is the service's own."""
    return [
        Outcome(
            item=items[one.item_id],
            result=_error(one.error) if one.HasField("error") else result(one),
            facts=_facts(one.facts) if one.HasField("facts") else None,
            processing_microseconds=one.processing_microseconds,
        )
        for one in message.outcomes
        if one.item_id in items
    ]


def _error(error: image_pb2.ImageError) -> PhotoError:
    return PhotoError(code=failure_code_from_wire(error.code), message=error.message)


def _facts(facts: image_pb2.ImageFacts) -> PhotoFacts:
    return PhotoFacts(
        content_sha256=facts.content_sha256, width=facts.width, height=facts.height, taken_at=facts.taken_at
    )


def _face(face: face_detector_pb2.DetectedFace, dimension: int) -> FoundFace:
    return FoundFace(
        x=face.box.x,
        y=face.box.y,
        width=face.box.width,
        height=face.box.height,
        landmarks=tuple((point.x, point.y) for point in face.landmarks),
        score=face.score,
        embedding=vectors_from_bytes(face.embedding, dimension=dimension).reshape(dimension),
    )
