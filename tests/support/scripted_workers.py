"""Worker services over real gRPC whose models are scripted: instant results, and trouble where a test wants it.

They read no photo and publish no event. What they were asked is kept, so that a test can tell probes from work.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from triptych.v1 import (
    clusterer_pb2,
    clusterer_pb2_grpc,
    embedder_pb2,
    embedder_pb2_grpc,
    face_detector_pb2,
    face_detector_pb2_grpc,
    image_pb2,
)
from triptych_common.errors import PreconditionError
from triptych_common.media.locations import path_from_uri
from triptych_common.models.description import ModelInfo, model_to_wire, vector_to_bytes
from triptych_common.rpc.status import to_status

DIMENSION = 4
MICRO_BATCH = 5
_SCRIPT = (
    *("is_bad", "faces_per_photo", "embedding_of", "groups", "vector_of_text"),
    *("trouble", "photos_of_work", "holds_probes"),
)
"""What a worker is told to do."""
_LOOK_SECONDS = 0.02
_THREADS = 16
_OPTIONS = [
    # Two servers must not share a port.
    ("grpc.so_reuseport", 0),
    # As the real services have it: our channels ask now and then whether anybody is there.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a worker was asked."""

    items: int
    """Photos, or faces."""
    is_work: bool
    """Whether it belongs to a run: probes and queries do not."""
    model_id: str = ""
    """Of a clusterer: the model of the faces."""
    dimensions: frozenset[int] = frozenset()
    """Of a clusterer: how long the faces' vectors are."""
    sizes: frozenset[float] = frozenset()
    """Of a clusterer: how large the faces are, in pixels."""


@dataclass(kw_only=True)
class Worker:
    """A service that listens, and what it is to do."""

    model: ModelInfo
    add: Callable[[grpc.Server], None] = lambda _: None
    """Adds its servicer to a server."""
    address: str = ""
    is_bad: Callable[[bytes], bool] = lambda _: False
    """Whether a photo fails, by its path."""
    faces_per_photo: int = 1
    embedding_of: Callable[[bytes], bytes] | None = None
    """A face's vector by its photo's path; all alike where none is given."""
    groups: int = 1
    """Groups that faces are dealt to in turn."""
    vector_of_text: Callable[[str], bytes] = lambda _: _vector()
    trouble: grpc.StatusCode | None = None
    """How every call but that for the model ends, if it is to end so."""
    photos_of_work: float = float("inf")
    """Photos that it works off before it holds still; may be raised. Probes are not held."""
    holds_probes: bool = False
    calls: list[Call] = field(default_factory=list)
    under_way: int = 0
    """Calls that are not over."""
    worked: int = 0
    """Photos of work that were answered."""
    stopping: threading.Event = field(default_factory=threading.Event)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self) -> None:
        """Answer; where it has answered before, on the same port."""
        self.stopping.clear()
        port = int(self.address.rpartition(":")[2] or 0)
        self.address = self._stack.enter_context(listening(self.add, port=port))
        self._stack.callback(self.stopping.set)

    def close(self) -> None:
        """Be away."""
        self._stack.close()

    def forget(self) -> None:
        """Be as at first: work off everything, and know of no call."""
        fresh = Worker(model=self.model)
        for name in _SCRIPT:
            setattr(self, name, getattr(fresh, name))
        self.worked = 0
        self.calls.clear()

    def probes(self) -> list[int]:
        """Items of each call that belonged to no run."""
        return [call.items for call in self.calls if not call.is_work]

    def begin(self, context: Any, *, items: int, is_work: bool, **more: Any) -> None:
        """Note a call, and end it where it is to end."""
        self.calls.append(Call(items=items, is_work=is_work, **more))
        # A call whose caller is gone already takes no callback.
        if context.add_callback(partial(self._count_under_way, -1)):
            self._count_under_way(1)
        if self.trouble is not None:
            context.abort(self.trouble, "It is scripted so.")

    def _count_under_way(self, change: int) -> None:
        with self._lock:
            self.under_way += change

    def count_worked(self, photos: int) -> None:
        """Note photos of work that are answered now."""
        with self._lock:
            self.worked += photos

    def wait(self, context: Any, *, is_work: bool) -> bool:
        """Hold still as long as it is to; False once nobody waits for an answer any more."""
        while self.worked >= self.photos_of_work if is_work else self.holds_probes:
            if self.stopping.wait(_LOOK_SECONDS) or not context.is_active():
                return False
        return True


class _Embedder(embedder_pb2_grpc.EmbedderServicer):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def GetModelInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return embedder_pb2.EmbedderGetModelInfoResponse(model=model_to_wire(self._worker.model))

    def EmbedText(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._worker.begin(context, items=len(request.texts), is_work=False)
        if not self._worker.model.has_text_tower:
            context.abort_with_status(to_status(PreconditionError("It cannot read.", reason="NO_TEXT_TOWER")))
        return embedder_pb2.EmbedTextResponse(
            vectors=[self._worker.vector_of_text(one) for one in request.texts], model_id=self._worker.model.model_id
        )

    def EmbedImages(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        for batch in _batches(self._worker, request, context):
            yield embedder_pb2.EmbedImagesResponse(
                outcomes=[self._outcome(item) for item in batch], model_id=self._worker.model.model_id
            )

    def _outcome(self, item: image_pb2.ImageItem) -> embedder_pb2.EmbedOutcome:
        # A picture that is sent along has no path.
        if self._worker.is_bad(path_from_uri(item.image.uri) if item.image.uri else b""):
            return embedder_pb2.EmbedOutcome(item_id=item.item_id, error=_corrupt())
        return embedder_pb2.EmbedOutcome(
            item_id=item.item_id, facts=_facts(), vector=_vector(self._worker.model.dimension)
        )


class _FaceDetector(face_detector_pb2_grpc.FaceDetectorServicer):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def GetModelInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return face_detector_pb2.FaceDetectorGetModelInfoResponse(model=model_to_wire(self._worker.model))

    def DetectFaces(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        for batch in _batches(self._worker, request, context):
            yield face_detector_pb2.DetectFacesResponse(
                outcomes=[self._outcome(item) for item in batch], model_id=self._worker.model.model_id
            )

    def _outcome(self, item: image_pb2.ImageItem) -> face_detector_pb2.DetectOutcome:
        if self._worker.is_bad(path_from_uri(item.image.uri)):
            return face_detector_pb2.DetectOutcome(item_id=item.item_id, error=_corrupt())
        face = face_detector_pb2.DetectedFace(
            box=face_detector_pb2.BoundingBox(x=0.1, y=0.1, width=0.2, height=0.2),
            landmarks=[face_detector_pb2.Point(x=0.1, y=0.1)] * 5,
            score=0.9,
            embedding=self._embedding(path_from_uri(item.image.uri)),
        )
        faces = face_detector_pb2.FaceSet(faces=[face] * self._worker.faces_per_photo)
        return face_detector_pb2.DetectOutcome(item_id=item.item_id, facts=_facts(), faces=faces)

    def _embedding(self, path: bytes) -> bytes:
        worker = self._worker
        return _vector(worker.model.dimension) if worker.embedding_of is None else worker.embedding_of(path)


class _Clusterer(clusterer_pb2_grpc.ClustererServicer):
    """Finds everybody to be the same person."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def ClusterFaces(self, requests: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        header = next(requests).header
        batches = [request.faces for request in requests]
        face_ids = [face_id for batch in batches for face_id in batch.face_ids]
        self._worker.begin(
            context,
            items=len(face_ids),
            is_work=header.HasField("work"),
            model_id=header.face_model_id,
            dimensions=frozenset(len(batch.vectors) // 4 // len(batch.face_ids) for batch in batches if batch.face_ids),
            sizes=frozenset(size for batch in batches for size in batch.sizes),
        )
        if len(face_ids) != header.face_count:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"{header.face_count} were announced, {len(face_ids)} came."
            )
        if not self._worker.wait(context, is_work=header.HasField("work")):
            return
        group_of = [number % self._worker.groups for number in range(len(face_ids))]
        yield clusterer_pb2.ClusterFacesResponse(
            assignments=clusterer_pb2.AssignmentBatch(
                face_ids=face_ids, groups=group_of, probabilities=[1.0] * len(face_ids)
            )
        )
        sizes = [group_of.count(group) for group in range(self._worker.groups)]
        groups = [clusterer_pb2.FaceGroup(face_count=size, cohesion=1.0) for size in sizes]
        yield clusterer_pb2.ClusterFacesResponse(summary=clusterer_pb2.ClusterSummary(groups=groups))


def _batches(worker: Worker, request: Any, context: Any) -> Iterator[list[Any]]:
    """The photos of a request in micro-batches, each as soon as the worker is to go on."""
    is_work = request.HasField("work")
    worker.begin(context, items=len(request.items), is_work=is_work)
    for first in range(0, len(request.items), MICRO_BATCH):
        if not worker.wait(context, is_work=is_work):
            return
        batch = list(request.items[first : first + MICRO_BATCH])
        worker.count_worked(len(batch) if is_work else 0)
        yield batch


def _corrupt() -> image_pb2.ImageError:
    return image_pb2.ImageError(
        code=image_pb2.IMAGE_ERROR_CODE_CORRUPT, message="The picture is damaged.", permanent=True
    )


def _facts() -> image_pb2.ImageFacts:
    return image_pb2.ImageFacts(content_sha256=b"\1" * 32, width=640, height=480, size_bytes=10, format="JPEG")


def _vector(dimension: int = DIMENSION) -> bytes:
    return vector_to_bytes(np.full(dimension, 0.5, np.float32))


def _model(model_id: str, *, device: str, has_text_tower: bool = False) -> ModelInfo:
    return ModelInfo(
        model_id=model_id,
        pack="scripted",
        display_name=model_id,
        dimension=DIMENSION,
        metric="cosine",
        device=device,
        licence="MIT",
        has_text_tower=has_text_tower,
    )


@dataclass(frozen=True, kw_only=True)
class ScriptedWorkers:
    """One worker of each kind."""

    embedder: Worker
    facedetect: Worker
    cluster: Worker

    def forget(self) -> None:
        """Have each of them forget what it was to do."""
        for worker in vars(self).values():
            worker.forget()

    def settings(self) -> dict[str, str]:
        """Where they listen, for a gateway's environment."""
        return {f"TRIPTYCH_{name.upper()}_ADDRESSES": worker.address for name, worker in vars(self).items()}


@contextlib.contextmanager
def scripted_workers() -> Iterator[ScriptedWorkers]:
    """An embedder, a face detector and a clusterer, each on a port of its own."""
    embedder = Worker(model=_model("scripted-clip/1", device="cpu", has_text_tower=True))
    facedetect = Worker(model=_model("scripted-faces/1", device="cpu"))
    cluster = Worker(model=_model("scripted-faces/1", device="cpu"))
    embedder.add = partial(embedder_pb2_grpc.add_EmbedderServicer_to_server, _Embedder(embedder))
    facedetect.add = partial(face_detector_pb2_grpc.add_FaceDetectorServicer_to_server, _FaceDetector(facedetect))
    cluster.add = partial(clusterer_pb2_grpc.add_ClustererServicer_to_server, _Clusterer(cluster))
    with contextlib.ExitStack() as stack:
        for worker in (embedder, facedetect, cluster):
            worker.open()
            stack.callback(worker.close)
        yield ScriptedWorkers(embedder=embedder, facedetect=facedetect, cluster=cluster)


@contextlib.contextmanager
def listening(add: Callable[[grpc.Server], None], *, port: int = 0) -> Iterator[str]:
    """A gRPC server with the servicers that ``add`` adds, and health; yields its address."""
    with ThreadPoolExecutor(_THREADS) as threads:
        server = grpc.server(threads, options=_OPTIONS)
        add(server)
        healthy = health.HealthServicer()
        healthy.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        try:
            yield f"127.0.0.1:{bound}"
        finally:
            server.stop(grace=None).wait()
