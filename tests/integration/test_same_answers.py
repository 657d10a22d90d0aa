"""The same answers whatever the size of micro-batches, the number of replicas and the order; and devices and models
that are short of memory, or idle."""

import asyncio
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support import small_device_embedder
from tests.support.ports import free_port
from tests.support.running_workers import DEADLINE_SECONDS, Service, Stack, until_serving, worker_stack
from triptych.v1 import embedder_pb2, embedder_pb2_grpc, face_detector_pb2, face_detector_pb2_grpc, image_pb2
from triptych_common.models.description import vectors_from_bytes

_NAMES = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "six people.jpg", "small.png", "broken.jpg"]
_PHOTOS = [*_NAMES, *(f"wide {name}" for name in _NAMES[:6])]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with worker_stack(tmp_path_factory.mktemp("answers")) as stack:
        for name in _NAMES[:6]:
            picture = Image.open(stack.media / name).convert("RGB")
            picture.resize((picture.width + 40, picture.height + 16)).save(stack.media / f"wide {name}", "PNG")
        yield stack


def _start(stack: Stack, name: str, *micro_batches: int) -> list[Service]:
    started = [stack.start(name, micro_batch=str(size)) for size in micro_batches]
    for service in started:
        asyncio.run(until_serving(service))
    return started


async def _embed(service: Service, items: Sequence[image_pb2.ImageItem]) -> dict[int, Any]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        request = embedder_pb2.EmbedImagesRequest(items=items)
        answers = [answer async for answer in embedder_pb2_grpc.EmbedderStub(channel).EmbedImages(request)]
    outcomes = [outcome for answer in answers for outcome in answer.outcomes]
    assert sorted(outcome.item_id for outcome in outcomes) == sorted(item.item_id for item in items)
    return {one.item_id: one for one in outcomes}


async def _detect(service: Service, items: Sequence[image_pb2.ImageItem]) -> dict[int, Any]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        request = face_detector_pb2.DetectFacesRequest(items=items)
        answers = [answer async for answer in face_detector_pb2_grpc.FaceDetectorStub(channel).DetectFaces(request)]
    outcomes = [outcome for answer in answers for outcome in answer.outcomes]
    assert sorted(outcome.item_id for outcome in outcomes) == sorted(item.item_id for item in items)
    return {one.item_id: one for one in outcomes}


async def _shared_out(ask: Any, services: Sequence[Service], items: Sequence[image_pb2.ImageItem]) -> dict[int, Any]:
    """Ask replicas at the same time, each for its part of the photos in an order of its own."""
    shuffled = random.Random(3).sample(list(items), len(items))
    parts = [shuffled[number :: len(services)] for number in range(len(services))]
    answers = await asyncio.gather(*(ask(one, part) for one, part in zip(services, parts, strict=True)))
    return {item_id: outcome for answer in answers for item_id, outcome in answer.items()}


def _assert_close(one: bytes, other: bytes, *, dimension: int) -> None:
    vectors = vectors_from_bytes(one, dimension=dimension), vectors_from_bytes(other, dimension=dimension)
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=0, atol=1e-4)


def _assert_same_vectors(one: Mapping[int, Any], other: Mapping[int, Any]) -> None:
    assert one.keys() == other.keys()
    for item_id, outcome in one.items():
        assert outcome.error == other[item_id].error
        if not outcome.HasField("error"):
            _assert_close(outcome.vector, other[item_id].vector, dimension=1280)


def _assert_same_faces(one: Mapping[int, Any], other: Mapping[int, Any]) -> None:
    assert one.keys() == other.keys()
    for item_id, outcome in one.items():
        assert outcome.error == other[item_id].error
        pairs = list(zip(outcome.faces.faces, other[item_id].faces.faces, strict=True))
        for face, same in pairs:
            assert (face.box, list(face.landmarks)) == (same.box, list(same.landmarks))
            assert face.score == pytest.approx(same.score, abs=1e-4)
            _assert_close(face.embedding, same.embedding, dimension=128)


async def test_embeddings_are_the_same_by_ones_by_64_and_over_three_replicas(stack: Stack) -> None:
    items = stack.items([*_PHOTOS, *(_PHOTOS * 5)][:64])
    services = await asyncio.to_thread(_start, stack, "embedder", 1, 64, 5)
    by_ones, by_64 = await _embed(services[0], items), await _embed(services[1], items)
    _assert_same_vectors(by_ones, by_64)
    _assert_same_vectors(by_ones, await _shared_out(_embed, services, items))
    assert sum(one.HasField("error") for one in by_ones.values()) == 5


async def test_faces_are_the_same_by_ones_by_64_and_over_three_replicas(stack: Stack) -> None:
    items = stack.items(_PHOTOS)
    services = await asyncio.to_thread(_start, stack, "facedetect", 1, 64, 5)
    by_ones, by_64 = await _detect(services[0], items), await _detect(services[1], items)
    _assert_same_faces(by_ones, by_64)
    _assert_same_faces(by_ones, await _shared_out(_detect, services, items))
    assert sum(len(one.faces.faces) for one in by_ones.values()) > 7


async def test_a_device_out_of_memory_costs_no_photo(stack: Stack) -> None:
    service = stack.start("embedder", [sys.executable, small_device_embedder.__file__])
    await until_serving(service)
    names = ["small.png", "coffee.png", "chelsea.png"] * 8
    outcomes = await _embed(service, stack.items(names))
    assert all(outcome.HasField("vector") for outcome in outcomes.values())
    small = [vectors_from_bytes(outcomes[100 + 3 * n].vector, dimension=3)[0].tolist() for n in range(8)]
    assert small == [[0, 0, 128]] * 8
    assert "the device is out of memory" in service.log.read_text()


async def test_a_deadline_ends_a_request_between_micro_batches_and_frees_its_place(stack: Stack) -> None:
    service = stack.start("embedder", micro_batch="1", max_concurrent_requests="1")
    await until_serving(service)
    items = stack.items(["chelsea.png"] * 1000)
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = embedder_pb2_grpc.EmbedderStub(channel)
        call = stub.EmbedImages(embedder_pb2.EmbedImagesRequest(items=items), timeout=1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                try:
                    await stub.EmbedImages(embedder_pb2.EmbedImagesRequest(items=items[:1])).read()
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                else:
                    break


async def test_an_idle_model_is_unloaded_told_of_all_the_same_and_loaded_at_the_next_request(stack: Stack) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    service = stack.start("facedetect", unload_idle_seconds="0.2", metrics_listen=metrics)
    await until_serving(service)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while "model unloaded" not in service.log.read_text():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = face_detector_pb2_grpc.FaceDetectorStub(channel)
        model = (await stub.GetModelInfo(face_detector_pb2.FaceDetectorGetModelInfoRequest())).model
    assert (model.model_id, model.device, model.precision, model.capacity) == ("dlib-resnet-v1", "cpu", "fp32", 8)
    outcomes = await _detect(service, stack.items(["astronaut.png"]))
    assert len(outcomes[100].faces.faces) == 1
    async with httpx.AsyncClient(trust_env=False) as client:
        page = (await client.get(f"http://{metrics}/metrics")).text
    assert 'triptych_micro_batch_photos_bucket{le="1.0"} 1.0' in page
    busy = re.search(r"^triptych_device_busy_seconds_total (\S+)", page, re.MULTILINE)
    assert busy is not None
    assert float(busy[1]) > 0


def test_a_memory_ceiling_below_the_model_refuses_to_start(stack: Stack) -> None:
    service = stack.start("embedder", memory_ceiling_bytes="50000000")
    assert service.process.wait(DEADLINE_SECONDS) == 78
    assert "TRIPTYCH_MEMORY_CEILING_BYTES is 50000000" in service.log.read_text()
