"""Times a handful of items through a service before the first phase, where no history says how long they take.

Probes never fail a session: a service that is away or in trouble leaves no evidence, and the log says so. Nothing that
a probe computes is stored, and it reports no progress. It runs as many calls at once as a run begins with, since a
service that works on several photos at a time is faster than one photo would tell.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import numpy as np

from triptych.v1 import clusterer_pb2, clusterer_pb2_grpc
from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.models.description import ModelInfo, vector_to_bytes
from triptych_common.progress.durations import EXACT_CLUSTERING_UP_TO
from triptych_common.progress.evidence import Timing
from triptych_common.rpc.channels import ReplicaPool
from triptych_gateway.catalog.runs.expectations import NOTHING_SEEN, FacesSeen
from triptych_gateway.catalog.runs.results import Outcome
from triptych_gateway.catalog.runs.shards import ShardItem
from triptych_gateway.pipeline.concurrency import PER_REPLICA
from triptych_gateway.pipeline.photos.photo_services import PhotoService

log = get_logger(__name__)

PHOTOS_PER_CALL: Final = 5
MOST_PHOTOS: Final = 40
LEAST_WORK: Final = 50
"""Photos to do below which a probe would cost more of the session than its ETA is worth."""
PROBE_SECONDS: Final = 10.0
"""How long one service is probed at most."""
CLUSTERING_SIZES: Final = (500, 2000)
"""Faces of two clusterings: one near the constant cost, one where the curve begins to show."""
CLUSTERING_SIZE_BEYOND: Final = 12_000
"""Faces of a third, beyond the bend of the curve, where more are expected: what few took says little of many."""
_FACES_PER_MESSAGE: Final = 1000
_FACES_OF_A_PERSON: Final = 10
_NOISE: Final = 0.35
_TROUBLE: Final = (grpc.aio.AioRpcError, AwayError, TimeoutError)


@dataclass(frozen=True, kw_only=True)
class PhotoProbe:
    """What probing a service that takes photos showed."""

    timings: tuple[Timing, ...] = ()
    seen: FacesSeen = NOTHING_SEEN


def photos_for(pool: ReplicaPool) -> int:
    """How many photos a probe of these replicas takes, the one to warm up with included."""
    return 1 + min(MOST_PHOTOS, PHOTOS_PER_CALL * PER_REPLICA * max(1, len(pool.addresses)))


async def probe_photos(service: PhotoService, items: Sequence[ShardItem], *, model: ModelInfo) -> PhotoProbe:
    """Time a service over some photos; the first of them warms it up and is not timed."""
    outcomes: list[Outcome] = []
    calls = max(1, len(items[1:]) // PHOTOS_PER_CALL)
    seconds = 0.0
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await _ask(service, items[:1], model, [])
            began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                for first in range(calls):
                    tasks.create_task(_ask(service, items[1 + first :: calls], model, outcomes))
            seconds = time.monotonic() - began
    except* _TROUBLE as group:
        log.warning("no probe of the service: its phase has no ETA until it works", error=repr(group.exceptions[0]))
    if seconds <= 0 or not outcomes:
        return PhotoProbe()
    found = [one.result for one in outcomes if isinstance(one.result, tuple)]
    return PhotoProbe(
        timings=(Timing(float(len(outcomes)), seconds),),
        seen=FacesSeen(photos=len(found), faces=sum(len(faces) for faces in found)),
    )


async def _ask(service: PhotoService, items: Sequence[ShardItem], model: ModelInfo, outcomes: list[Outcome]) -> None:
    by_ordinal = {item.ordinal: item for item in items}
    async with service.pool.take() as replica:
        call = service.call(replica, items, model_id=model.model_id)
        try:
            async for message in call:
                outcomes += service.read(message, by_ordinal, dimension=model.dimension)
        finally:
            call.cancel()


def clustering_sizes(*, known: Sequence[Timing], expected_faces: float) -> tuple[int, ...]:
    """Faces of the clusterings that tell what past runs do not: none where they tell enough."""
    sizes: tuple[int, ...] = () if known else CLUSTERING_SIZES
    beyond = expected_faces > EXACT_CLUSTERING_UP_TO
    if beyond and not any(one.items > EXACT_CLUSTERING_UP_TO for one in known):
        sizes += (CLUSTERING_SIZE_BEYOND,)
    return sizes


async def probe_clustering(pool: ReplicaPool, sizes: Sequence[int], *, model: ModelInfo) -> tuple[Timing, ...]:
    """Time the clusterer over so many made-up faces at a time; what it managed before it was in trouble counts."""
    timings = []
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            for size in sizes:
                vectors = await asyncio.to_thread(_made_up_faces, size, dimension=model.dimension)
                began = time.monotonic()
                await _cluster(pool, vectors, model=model)
                timings.append(Timing(float(size), time.monotonic() - began))
    except _TROUBLE as error:
        log.warning("the probe of the clusterer is not whole", timed=len(timings), error=repr(error))
    return tuple(timings)


async def _cluster(pool: ReplicaPool, vectors: Any, *, model: ModelInfo) -> None:
    async with pool.take() as replica:
        call = clusterer_pb2_grpc.ClustererStub(replica.channel).ClusterFaces(_question(vectors, model))
        try:
            async for _ in call:
                pass
        finally:
            call.cancel()


async def _question(vectors: Any, model: ModelInfo) -> AsyncIterator[clusterer_pb2.ClusterFacesRequest]:
    yield clusterer_pb2.ClusterFacesRequest(
        header=clusterer_pb2.ClusterHeader(
            face_model_id=model.model_id, dimension=model.dimension, face_count=len(vectors)
        )
    )
    for start in range(0, len(vectors), _FACES_PER_MESSAGE):
        part = vectors[start : start + _FACES_PER_MESSAGE]
        numbers = range(start + 1, start + len(part) + 1)
        yield clusterer_pb2.ClusterFacesRequest(
            faces=clusterer_pb2.FaceBatch(
                face_ids=numbers, photo_ids=numbers, scores=[1.0] * len(part), vectors=vector_to_bytes(part)
            )
        )


def _made_up_faces(count: int, *, dimension: int) -> Any:
    """Faces of people who appear ten times each: [count, dimension] float32 of unit length."""
    random = np.random.default_rng(0)
    people = random.normal(size=(-(-count // _FACES_OF_A_PERSON), dimension))
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    noise = random.normal(size=(count, dimension)) * _NOISE / np.sqrt(dimension)
    vectors = np.repeat(people, _FACES_OF_A_PERSON, axis=0)[:count] + noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
