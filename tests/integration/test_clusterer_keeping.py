"""The clusterer over gRPC, given back what it gave to be kept."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import grpc
import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from tests.support.grouping_score import adjusted_rand_index
from tests.support.running_workers import Service, Stack, until_serving, worker_stack
from triptych.v1 import clusterer_pb2, clusterer_pb2_grpc
from triptych_cluster.memory import peak_bytes
from triptych_common.rpc.status import read_error

MODEL: Final = "buffalo_l"
DIMENSION: Final = 64
KNOWN, ALL = 3000, 3060
GRPC_USUAL_BYTES: Final = 4 * 2**20
"""The largest message that a client takes if nobody tells it otherwise."""

Request = clusterer_pb2.ClusterFacesRequest
Response = clusterer_pb2.ClusterFacesResponse


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with worker_stack(tmp_path_factory.mktemp("keeping")) as running:
        yield running


@pytest.fixture(scope="module")
def service(stack: Stack) -> Service:
    return stack.start("cluster")


@pytest_asyncio.fixture
async def stub(service: Service) -> AsyncIterator[Any]:
    await until_serving(service)
    async with grpc.aio.insecure_channel(service.address) as channel:
        yield clusterer_pb2_grpc.ClustererStub(channel)


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    """Faces of 300 people, mixed."""
    random = np.random.default_rng(21)
    faces = random.normal(size=(300, DIMENSION))[random.integers(0, 300, ALL)]
    faces += random.normal(size=faces.shape) * 0.45
    unit: NDArray[np.float32] = (faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(np.float32)
    return unit


def question(
    vectors: NDArray[np.float32], kept: Sequence[Response] = (), *, version: str = "", keeps: bool = True
) -> list[Request]:
    """These faces, numbered from 0, and what a former answer gave to be kept of them."""
    count = len(vectors)
    header = clusterer_pb2.ClusterHeader(face_model_id=MODEL, dimension=DIMENSION, face_count=count, keeps=keeps)
    if kept:
        header.kept.CopyFrom(clusterer_pb2.KeptHeader(version=version, face_count=2 * ALL, group_count=2 * ALL))
    batch = clusterer_pb2.FaceBatch(
        face_ids=range(count), photo_ids=range(count), scores=[1.0] * count, vectors=vectors.astype("<f4").tobytes()
    )
    sent_back = [
        Request(kept_faces=one.kept_faces) if one.HasField("kept_faces") else Request(kept_groups=one.kept_groups)
        for one in kept
    ]
    return [Request(header=header), Request(faces=batch), *sent_back]


async def ask(stub: Any, requests: list[Request]) -> list[Response]:
    return [answer async for answer in stub.ClusterFaces(iter(requests))]


def kept_of(answers: Sequence[Response]) -> list[Response]:
    return [one for one in answers if one.WhichOneof("part") in ("kept_faces", "kept_groups", "gone")]


def groups_of(answers: Sequence[Response]) -> NDArray[np.int64]:
    return np.array([group for one in answers for group in one.assignments.groups])


async def test_what_was_kept_is_enough_to_group_new_faces_as_all_anew(stub: Any, vectors: NDArray[np.float32]) -> None:
    first = await ask(stub, question(vectors[:KNOWN]))
    kept = first[-1].summary.kept

    second = await ask(stub, question(vectors, kept_of(first), version=kept.version))
    scratch = await ask(stub, question(vectors))

    assert first[-1].summary.method == clusterer_pb2.CLUSTER_METHOD_FULL
    assert (kept.face_count, kept.most_new_faces) == (KNOWN, KNOWN // 4)
    assert (second[-1].summary.method, second[-1].summary.reason) == (clusterer_pb2.CLUSTER_METHOD_INCREMENTAL, "")
    assert second[-1].summary.kept.face_count == ALL
    assert adjusted_rand_index(groups_of(second), groups_of(scratch)) >= 0.999
    written = [face_id for one in kept_of(second) for face_id in one.kept_faces.neighbours.ids]
    assert set(range(KNOWN, ALL)) <= set(written)
    assert len(written) < KNOWN
    for answers in (first, second):
        assert all(one.ByteSize() < GRPC_USUAL_BYTES for one in answers)
        order = [one.WhichOneof("part") or "" for one in answers]
        parts = ["progress", "assignments", "kept_faces", "kept_groups", "gone", "summary"]
        assert order == sorted(order, key=parts.index)
        done = [one.progress.done for one in answers if one.HasField("progress")]
        assert done == sorted(done)
        assert done[-1] == len(groups_of(answers))


async def test_who_keeps_nothing_is_told_nothing_to_keep(stub: Any, vectors: NDArray[np.float32]) -> None:
    answers = await ask(stub, question(vectors, keeps=False))

    assert kept_of(answers) == []
    assert not answers[-1].summary.HasField("kept")


async def test_what_another_version_kept_is_not_even_read(stub: Any, vectors: NDArray[np.float32]) -> None:
    damaged = Response(
        kept_faces=clusterer_pb2.KeptFaceBatch(neighbours=clusterer_pb2.NeighbourLists(ids=[1], counts=[99]))
    )

    answers = await ask(stub, question(vectors[:500], [damaged], version="former"))

    assert answers[-1].summary.method == clusterer_pb2.CLUSTER_METHOD_FULL
    assert "another version" in answers[-1].summary.reason
    assert answers[-1].summary.kept.face_count == 500


async def test_what_is_damaged_is_refused(stub: Any, vectors: NDArray[np.float32]) -> None:
    first = await ask(stub, question(vectors[:500]))
    damaged = [Response.FromString(one.SerializeToString()) for one in kept_of(first)]
    damaged[0].kept_faces.neighbours.distances = b""

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(stub, question(vectors[:510], damaged, version=first[-1].summary.kept.version))

    refused = read_error(caught.value)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_KEPT")


async def test_where_memory_is_short_faces_are_grouped_and_nothing_is_kept(
    stack: Stack, stub: Any, vectors: NDArray[np.float32]
) -> None:
    least = peak_bytes(ALL, DIMENSION, 16, search="exact", mapped=True)
    small = stack.start("cluster", max_memory_bytes=str(least))
    await until_serving(small)
    whole = await ask(stub, question(vectors))

    async with grpc.aio.insecure_channel(small.address) as channel:
        answers = await ask(clusterer_pb2_grpc.ClustererStub(channel), question(vectors))

    assert "too little memory" in answers[-1].summary.reason
    assert kept_of(answers) == []
    np.testing.assert_array_equal(groups_of(answers), groups_of(whole))
