"""The three worker services as real processes, over real gRPC, with a real NATS server."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import nats
import nats.errors
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image

from tests.support.child_processes import children_of
from tests.support.clip_exports import DIMENSION, write_export
from tests.support.insightface_pack import photo_with_faces, write_pack
from tests.support.running_workers import DEADLINE_SECONDS, Service, Stack, stop, until_serving, worker_stack
from triptych.v1 import (
    clusterer_pb2,
    clusterer_pb2_grpc,
    embedder_pb2,
    embedder_pb2_grpc,
    face_detector_pb2,
    face_detector_pb2_grpc,
    image_pb2,
    model_pb2,
    progress_event_pb2,
    work_pb2,
)
from triptych_common.errors import EXIT_BAD_CONFIGURATION
from triptych_common.models.description import vectors_from_bytes
from triptych_common.progress.events import STREAM, subject_of
from triptych_common.rpc.status import read_error

_SERVICES = {"embedder": "Embedder", "facedetect": "FaceDetector", "cluster": "Clusterer"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with worker_stack(tmp_path_factory.mktemp("workers")) as stack:
        yield stack


@pytest.fixture(scope="module")
def services(stack: Stack) -> Iterator[dict[str, Service]]:
    running = {
        "embedder": stack.start("embedder", max_concurrent_requests="1", micro_batch="4"),
        "facedetect": stack.start("facedetect", micro_batch="2"),
        "cluster": stack.start("cluster", max_faces="5000"),
    }
    for service in running.values():
        asyncio.run(until_serving(service))
    yield running
    for service in running.values():
        assert stop(service.process) == 0, service.log.read_text()


@pytest.fixture
async def channels(services: dict[str, Service]) -> AsyncIterator[dict[str, grpc.aio.Channel]]:
    opened = {name: grpc.aio.insecure_channel(service.address) for name, service in services.items()}
    yield opened
    for channel in opened.values():
        await channel.close()


def _work(*, session_id: int, phase: Any, total: int, done_before: int = 0, unit: str = "shard-0") -> work_pb2.WorkUnit:
    return work_pb2.WorkUnit(
        session_id=session_id, phase=phase, run=1, unit=unit, unit_total=total, done_before=done_before
    )


async def _last_event(
    stack: Stack, work: work_pb2.WorkUnit, *, done_and_failed: int
) -> progress_event_pb2.ProgressEvent:
    """The newest event of a unit, once the stream holds one with so many outcomes."""
    client = await nats.connect(stack.nats_url)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            subscription = await client.jetstream().subscribe(
                subject_of(work.session_id, work.phase), stream=STREAM, ordered_consumer=True
            )
            async for message in subscription.messages:
                event = progress_event_pb2.ProgressEvent.FromString(message.data)
                if event.unit == work.unit and event.counts.done + event.counts.failed >= done_and_failed:
                    return event
        raise AssertionError("the subscription ended")
    finally:
        await client.close()


async def _refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    """Code and reason with which a call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    refused = read_error(caught.value)
    assert refused.message
    return refused.code, refused.reason


@pytest.mark.parametrize("name", _SERVICES)
async def test_health_and_reflection_name_the_service(channels: dict[str, grpc.aio.Channel], name: str) -> None:
    full_name = f"triptych.v1.{_SERVICES[name]}"
    health = health_pb2_grpc.HealthStub(channels[name])
    answer = await health.Check(health_pb2.HealthCheckRequest(service=full_name))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING

    reflection = reflection_pb2_grpc.ServerReflectionStub(channels[name])
    call = reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answers = [answer async for answer in call]
    assert full_name in {service.name for service in answers[0].list_services_response.service}


async def test_every_photo_gets_one_outcome_and_the_stream_keeps_the_last_count(
    stack: Stack, channels: dict[str, grpc.aio.Channel]
) -> None:
    names = ["chelsea.png", "broken.jpg", "rocket.jpg", "text.jpg", "missing.jpg", "coffee.png", "../nats.log"]
    work = _work(session_id=1, phase=work_pb2.PHASE_TRAINING, total=10, done_before=3)
    request = embedder_pb2.EmbedImagesRequest(work=work, items=stack.items(names), model_id="mobilenet-v2-imagenet-2")

    stub = embedder_pb2_grpc.EmbedderStub(channels["embedder"])
    answers = [answer async for answer in stub.EmbedImages(request)]

    assert sum(len(answer.outcomes) for answer in answers) == 7
    outcomes = {outcome.item_id: outcome for answer in answers for outcome in answer.outcomes}
    by_name = dict(zip(names, (outcomes[item.item_id] for item in request.items), strict=True))
    for name in ("chelsea.png", "rocket.jpg", "coffee.png"):
        vector = vectors_from_bytes(by_name[name].vector, dimension=1280)[0]
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert by_name[name].facts.content_sha256 == hashlib.sha256((stack.media / name).read_bytes()).digest()
        assert by_name[name].processing_microseconds > 0
    codes = {name: outcome.error.code for name, outcome in by_name.items() if outcome.HasField("error")}
    assert codes == {
        "broken.jpg": image_pb2.IMAGE_ERROR_CODE_CORRUPT,
        "text.jpg": image_pb2.IMAGE_ERROR_CODE_UNSUPPORTED_FORMAT,
        "missing.jpg": image_pb2.IMAGE_ERROR_CODE_NOT_FOUND,
        "../nats.log": image_pb2.IMAGE_ERROR_CODE_PATH_NOT_ALLOWED,
    }
    event = await _last_event(stack, work, done_and_failed=10)
    assert (event.counts.done, event.counts.failed, event.counts.total, event.source) == (6, 4, 10, "embedder")


async def test_embedder_tells_its_model_and_refuses_what_it_cannot_do(
    stack: Stack, channels: dict[str, grpc.aio.Channel]
) -> None:
    stub = embedder_pb2_grpc.EmbedderStub(channels["embedder"])
    model = (await stub.GetModelInfo(embedder_pb2.EmbedderGetModelInfoRequest())).model
    assert (model.model_id, model.dimension, model.has_text_tower) == ("mobilenet-v2-imagenet-2", 1280, False)
    assert "not CLIP" in model.notice

    (item,) = stack.items(["small.png"])
    embed = embedder_pb2.EmbedImagesRequest
    cases = [
        (embed(), "INVALID_ARGUMENT", "NO_ITEMS"),
        (embed(items=[item, item]), "INVALID_ARGUMENT", "DUPLICATE_ITEM"),
        (embed(items=[image_pb2.ImageItem(item_id=1)]), "INVALID_ARGUMENT", "NO_SOURCE"),
        (
            embed(items=[image_pb2.ImageItem(item_id=number, image=item.image) for number in range(1025)]),
            "INVALID_ARGUMENT",
            "TOO_MANY_ITEMS",
        ),
        (embed(items=[item], model_id="clip"), "FAILED_PRECONDITION", "MODEL_MISMATCH"),
        (
            embed(items=[item], work=_work(session_id=0, phase=work_pb2.PHASE_TRAINING, total=1)),
            "INVALID_ARGUMENT",
            "BAD_WORK",
        ),
    ]
    for request, code, reason in cases:
        assert await _refusal(stub.EmbedImages(request)) == (grpc.StatusCode[code], reason)
    assert await _refusal(stub.EmbedText(embedder_pb2.EmbedTextRequest(texts=["a cat"]))) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "NO_TEXT_TOWER",
    )


async def test_full_queue_is_refused_and_a_cancelled_call_makes_room(
    stack: Stack, channels: dict[str, grpc.aio.Channel]
) -> None:
    stub = embedder_pb2_grpc.EmbedderStub(channels["embedder"])
    work = _work(session_id=2, phase=work_pb2.PHASE_TRAINING, total=1024)
    long_call = stub.EmbedImages(embedder_pb2.EmbedImagesRequest(work=work, items=stack.items(["chelsea.png"] * 1024)))
    first: Any = await long_call.read()
    assert len(first.outcomes) == 4

    small = embedder_pb2.EmbedImagesRequest(items=stack.items(["small.png"]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.EmbedImages(small).read()
    refused = read_error(caught.value)
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert refused.retry_after_seconds is not None and refused.retry_after_seconds > 0

    long_call.cancel()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            answer = await _first_unless_full(stub.EmbedImages(small))
            if answer is not None:
                break
    assert answer.outcomes[0].HasField("vector")
    event = await _last_event(stack, work, done_and_failed=4)
    assert event.counts.done < 1024


def _resident_bytes(service: Service) -> int:
    """Of the process, and of its decoders what they share with nobody."""
    pages = int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1])
    for pid in children_of(service.process.pid):
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
        pages += resident - shared
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_beyond_its_memory_ceiling_a_service_refuses_until_there_is_room_again(stack: Stack) -> None:
    large = stack.media / "large.png"
    Image.new("RGB", (8000, 6000), "navy").save(large)  # 192 MB in memory, while it is decoded
    limits = {"decode_threads": "1", "decoded_bytes": str(16 << 20), "micro_batch": "1"}
    small = embedder_pb2.EmbedImagesRequest(items=stack.items(["small.png"]))
    roomy = stack.start("embedder", **limits)
    await until_serving(roomy)
    async with grpc.aio.insecure_channel(roomy.address) as channel:
        assert await embedder_pb2_grpc.EmbedderStub(channel).EmbedImages(small).read()
    ceiling_bytes = _resident_bytes(roomy) + (96 << 20)

    service = stack.start("embedder", memory_ceiling_bytes=str(ceiling_bytes), **limits)
    await until_serving(service)
    async with grpc.aio.insecure_channel(service.address) as channel, asyncio.timeout(DEADLINE_SECONDS):
        stub = embedder_pb2_grpc.EmbedderStub(channel)
        assert await stub.EmbedImages(small).read()
        long_call = stub.EmbedImages(embedder_pb2.EmbedImagesRequest(items=stack.items([large.name] * 1024)))
        refused = None
        while refused is None:  # between two large photos there is room
            asked = stub.EmbedImages(small)
            try:
                # Where it is taken on, its turn comes between two, and so would that of the next.
                async with asyncio.timeout(0.1):
                    await asked.read()
            except TimeoutError:
                asked.cancel()
            except grpc.aio.AioRpcError as error:
                refused = read_error(error)
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MEMORY_CEILING")
        assert refused.retry_after_seconds is not None and refused.retry_after_seconds >= 0.5

        # What was taken on before is not affected, and when it has ended, more is taken on.
        outcomes: Any = await long_call.read()
        assert outcomes.outcomes[0].HasField("vector")
        long_call.cancel()
        while (answer := await _first_unless_full(stub.EmbedImages(small))) is None:
            pass
        assert answer.outcomes[0].HasField("vector")


async def _first_unless_full(call: Any) -> Any:
    try:
        return await call.read()
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        return None


async def test_faces_come_with_boxes_landmarks_and_vectors(stack: Stack, channels: dict[str, grpc.aio.Channel]) -> None:
    names = ["astronaut.png", "small.png", "six people.jpg", "text.jpg"]
    work = _work(session_id=3, phase=work_pb2.PHASE_FACE_DETECTION, total=4)
    stub = face_detector_pb2_grpc.FaceDetectorStub(channels["facedetect"])
    request = face_detector_pb2.DetectFacesRequest(work=work, items=stack.items(names))
    answers = [answer async for answer in stub.DetectFaces(request)]

    outcomes = [outcome for answer in answers for outcome in answer.outcomes]
    outcomes.sort(key=lambda outcome: outcome.item_id)
    assert [outcome.item_id for outcome in outcomes] == [100, 101, 102, 103]
    assert [len(outcome.faces.faces) for outcome in outcomes] == [1, 0, 6, 0]
    assert [outcome.HasField("error") for outcome in outcomes] == [False, False, False, True]
    for face in [face for outcome in outcomes for face in outcome.faces.faces]:
        assert len(face.landmarks) == 5
        assert len(face.embedding) == 4 * 128
        assert 0 < face.box.width < 1
        assert all(face.box.x <= point.x <= face.box.x + face.box.width for point in face.landmarks)
    event = await _last_event(stack, work, done_and_failed=4)
    assert (event.counts.done, event.counts.failed, event.source) == (3, 1, "facedetect")


async def test_an_insightface_pack_finds_faces_in_the_process_of_its_own(stack: Stack) -> None:
    write_pack(stack.folder / "insightface" / "tiny")
    for count in (0, 1, 7, 3):
        photo = photo_with_faces(count, height=900, width=1200, seed=count)
        Image.fromarray(photo).save(stack.media / f"{count} faces.png")
    service = stack.start("facedetect", model="insightface:tiny", models_dir=str(stack.folder))
    await until_serving(service)
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = face_detector_pb2_grpc.FaceDetectorStub(channel)
        model = (await stub.GetModelInfo(face_detector_pb2.FaceDetectorGetModelInfoRequest())).model
        assert (model.dimension, model.metric, model.device) == (512, model_pb2.METRIC_COSINE, "cpu")
        assert model.model_id.startswith("insightface:w600k_r50@")
        items = stack.items(["0 faces.png", "1 faces.png", "text.jpg", "7 faces.png", "3 faces.png"])
        request = face_detector_pb2.DetectFacesRequest(items=items, model_id=model.model_id)
        outcomes = {one.item_id: one async for message in stub.DetectFaces(request) for one in message.outcomes}
    assert [len(outcomes[item.item_id].faces.faces) for item in items] == [0, 1, 0, 7, 3]
    assert [outcomes[item.item_id].HasField("error") for item in items] == [False, False, True, False, False]
    for face in [face for outcome in outcomes.values() for face in outcome.faces.faces]:
        (vector,) = vectors_from_bytes(face.embedding, dimension=512)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        assert len(face.landmarks) == 5 and 0.5 <= face.score <= 1


def _cluster_requests(
    vectors: np.ndarray[Any, np.dtype[np.float32]],
    *,
    work: work_pb2.WorkUnit | None = None,
    model_id: str = "buffalo_l",
    announced: int | None = None,
    face_ids: Sequence[int] | None = None,
) -> list[clusterer_pb2.ClusterFacesRequest]:
    count, dimension = vectors.shape
    header = clusterer_pb2.ClusterHeader(
        work=work,
        face_model_id=model_id,
        dimension=dimension,
        face_count=count if announced is None else announced,
    )
    requests = [clusterer_pb2.ClusterFacesRequest(header=header)]
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        batch = clusterer_pb2.FaceBatch(
            face_ids=[(face_ids or range(count))[number] for number in numbers],
            photo_ids=list(numbers),
            scores=[1.0] * len(numbers),
            vectors=vectors[start : start + 1000].astype("<f4").tobytes(),
        )
        requests.append(clusterer_pb2.ClusterFacesRequest(faces=batch))
    return requests


def _people(count: int, faces_each: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    random = np.random.default_rng(7)
    directions = random.normal(size=(count, 64))
    faces = np.repeat(directions, faces_each, axis=0) + random.normal(size=(count * faces_each, 64)) * 0.2
    unit: np.ndarray[Any, np.dtype[np.float32]] = (faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype("f4")
    return unit


async def test_faces_are_grouped_with_progress_assignments_and_a_summary(
    stack: Stack, channels: dict[str, grpc.aio.Channel]
) -> None:
    work = _work(session_id=4, phase=work_pb2.PHASE_CLUSTERING, total=3000, unit="clustering")
    stub = clusterer_pb2_grpc.ClustererStub(channels["cluster"])
    answers = [answer async for answer in stub.ClusterFaces(iter(_cluster_requests(_people(30, 100), work=work)))]

    kinds = [answer.WhichOneof("part") or "" for answer in answers]
    assert kinds == sorted(kinds, key={"progress": 0, "assignments": 1, "summary": 2}.__getitem__)
    progress = [answer.progress for answer in answers if answer.HasField("progress")]
    assert [one.done for one in progress] == sorted(one.done for one in progress)
    assert (progress[-1].done, progress[-1].total) == (3000, 3000)
    assert all(one.done < 3000 for one in progress[:-1])
    assignments = [answer.assignments for answer in answers if answer.HasField("assignments")]
    groups = np.array([group for batch in assignments for group in batch.groups])
    assert all(len(set(groups[start : start + 100])) == 1 for start in range(0, 3000, 100))
    assert [group.face_count for group in answers[-1].summary.groups] == [100] * 30
    assert answers[-1].summary.parameters["ceiling"] > 0
    event = await _last_event(stack, work, done_and_failed=3000)
    assert (event.counts.done, event.counts.total, event.counts.stage) == (3000, 3000, "merge")


async def test_no_faces_are_no_groups(channels: dict[str, grpc.aio.Channel]) -> None:
    stub = clusterer_pb2_grpc.ClustererStub(channels["cluster"])
    requests = _cluster_requests(np.empty((0, 8), np.float32))
    (answer,) = [answer async for answer in stub.ClusterFaces(iter(requests))]
    assert answer.HasField("summary")
    assert not answer.summary.groups


async def test_clusterer_refuses_what_it_cannot_group(channels: dict[str, grpc.aio.Channel]) -> None:
    stub = clusterer_pb2_grpc.ClustererStub(channels["cluster"])
    vectors = _people(2, 2)
    broken = vectors.copy()
    broken[1, 3] = np.nan
    wide = _cluster_requests(vectors)
    wide[1].faces.vectors = wide[1].faces.vectors[:-4]
    sized = _cluster_requests(vectors)
    sized[1].faces.sizes.extend([40.0, 50.0])
    cases = [
        ([], "INVALID_ARGUMENT", "NO_HEADER"),
        (_cluster_requests(vectors)[1:], "INVALID_ARGUMENT", "NO_HEADER"),
        (_cluster_requests(vectors, model_id="nobody"), "FAILED_PRECONDITION", "UNKNOWN_FACE_MODEL"),
        (_cluster_requests(vectors, announced=5001), "INVALID_ARGUMENT", "TOO_MANY_FACES"),
        (_cluster_requests(vectors, announced=3), "INVALID_ARGUMENT", "FACE_COUNT_MISMATCH"),
        (_cluster_requests(vectors, announced=5), "INVALID_ARGUMENT", "FACE_COUNT_MISMATCH"),
        (_cluster_requests(vectors, face_ids=[1, 2, 2, 3]), "INVALID_ARGUMENT", "DUPLICATE_FACE"),
        (_cluster_requests(broken), "INVALID_ARGUMENT", "BAD_FACES"),
        (wide, "INVALID_ARGUMENT", "BAD_BATCH"),
        (sized, "INVALID_ARGUMENT", "BAD_BATCH"),
    ]
    for requests, code, reason in cases:
        assert await _refusal(stub.ClusterFaces(iter(requests))) == (grpc.StatusCode[code], reason)


async def test_faces_that_do_not_fit_into_memory_are_refused_with_the_figure(stack: Stack) -> None:
    service = stack.start("cluster", max_memory_bytes=str(50 << 20))
    await until_serving(service)
    async with grpc.aio.insecure_channel(service.address) as channel:
        call = clusterer_pb2_grpc.ClustererStub(channel).ClusterFaces(iter(_cluster_requests(_people(40, 100))))
        assert await _refusal(call) == (grpc.StatusCode.FAILED_PRECONDITION, "MEMORY_TOO_SMALL")
        assert "4,000 faces takes" in (await call.details() or "")


async def test_large_vectors_lie_in_files_that_leave_nothing_behind(stack: Stack, tmp_path: Path) -> None:
    service = stack.start("cluster", spill_above_bytes="1000", spill_directory=str(tmp_path))
    nowhere = stack.start("cluster", spill_above_bytes="1000", spill_directory=str(tmp_path / "missing"))
    requests = _cluster_requests(_people(10, 20))
    requests[1].faces.sizes.extend([80.0] * 200)
    await until_serving(service)
    async with grpc.aio.insecure_channel(service.address) as channel:
        answers = [answer async for answer in clusterer_pb2_grpc.ClustererStub(channel).ClusterFaces(iter(requests))]
    assert [group.face_count for group in answers[-1].summary.groups] == [20] * 10
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a coroutine
    await until_serving(nowhere)
    async with grpc.aio.insecure_channel(nowhere.address) as channel:
        call = clusterer_pb2_grpc.ClustererStub(channel).ClusterFaces(iter(requests))
        assert await _refusal(call) == (grpc.StatusCode.FAILED_PRECONDITION, "DISK_FULL")


async def test_a_cancelled_grouping_gives_its_turn_to_the_next(channels: dict[str, grpc.aio.Channel]) -> None:
    stub = clusterer_pb2_grpc.ClustererStub(channels["cluster"])
    # Its faces never come, so it holds the turn until it is cancelled.
    stalled = stub.ClusterFaces()
    await stalled.write(_cluster_requests(_people(2, 2))[0])
    following = stub.ClusterFaces(iter(_cluster_requests(_people(2, 2))))
    messages = aiter(following)
    first = await anext(messages)
    assert (first.progress.stage, first.progress.done) == ("neighbours", 0)

    stalled.cancel()
    answers = [answer async for answer in messages]
    assert [group.face_count for group in answers[-1].summary.groups] == [2, 2]


async def test_a_call_in_flight_ends_whole_after_sigterm(stack: Stack) -> None:
    service = stack.start("embedder", micro_batch="2", drain_seconds="30")
    await until_serving(service)
    async with grpc.aio.insecure_channel(service.address) as channel:
        request = embedder_pb2.EmbedImagesRequest(items=stack.items(["chelsea.png"] * 24))
        call = embedder_pb2_grpc.EmbedderStub(channel).EmbedImages(request)
        messages = aiter(call)
        first = await anext(messages)
        service.process.send_signal(signal.SIGTERM)
        outcomes = len(first.outcomes) + sum([len(answer.outcomes) async for answer in messages])
        assert outcomes == 24
    assert await asyncio.to_thread(service.process.wait, DEADLINE_SECONDS) == 0, service.log.read_text()


async def test_a_call_that_outlasts_the_drain_is_told_to_go_elsewhere(stack: Stack) -> None:
    service = stack.start("embedder", micro_batch="2", drain_seconds="0")
    await until_serving(service)
    async with grpc.aio.insecure_channel(service.address) as channel:
        request = embedder_pb2.EmbedImagesRequest(items=stack.items(["chelsea.png"] * 1024))
        call = embedder_pb2_grpc.EmbedderStub(channel).EmbedImages(request)
        await anext(aiter(call))
        service.process.send_signal(signal.SIGTERM)
        code, _ = await _refusal(call)
        assert code is grpc.StatusCode.UNAVAILABLE
    assert await asyncio.to_thread(service.process.wait, DEADLINE_SECONDS) == 0, service.log.read_text()


async def test_an_exported_clip_model_embeds_photos_and_texts_into_one_space(stack: Stack) -> None:
    write_export(stack.folder / "onnx" / "tiny__one")
    service = stack.start("embedder", model="onnx:tiny/one", models_dir=str(stack.folder))
    await until_serving(service)
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = embedder_pb2_grpc.EmbedderStub(channel)
        answer = await stub.GetModelInfo(embedder_pb2.EmbedderGetModelInfoRequest())
        model = answer.model
        assert (model.model_id, model.dimension, model.has_text_tower) == ("clip:tiny/one", DIMENSION, True)
        assert (model.device, model.precision, model.pack) == ("cpu", "fp32", "production")
        texts = await stub.EmbedText(embedder_pb2.EmbedTextRequest(texts=["a cat", "a dog"], model_id="clip:tiny/one"))
        request = embedder_pb2.EmbedImagesRequest(items=stack.items(["chelsea.png", "coffee.png"]))
        photos = [outcome async for message in stub.EmbedImages(request) for outcome in message.outcomes]
    for content in (*texts.vectors, *(outcome.vector for outcome in photos)):
        (vector,) = vectors_from_bytes(content, dimension=DIMENSION)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("embedder", {"device": "cuda"}, "TRIPTYCH_DEVICE is cuda"),
        ("facedetect", {"device": "cuda"}, "TRIPTYCH_DEVICE is cuda"),
        ("embedder", {"model": "nobody"}, "TRIPTYCH_MODEL is 'nobody'"),
        ("embedder", {"model": "production", "models_dir": "/nowhere"}, "run `triptych models fetch open_clip/"),
        ("embedder", {"precision": "fp16"}, "TRIPTYCH_PRECISION is fp16"),
        ("embedder", {"precision": "fp8"}, "setting precision"),
        ("facedetect", {"micro_batch": "0"}, "setting micro_batch"),
        (
            "facedetect",
            {"model": "production", "models_dir": "/nowhere"},
            "triptych models fetch insightface/buffalo_l",
        ),
    ],
)
def test_a_process_that_cannot_work_as_it_is_set_up_says_so_and_ends(
    stack: Stack, name: str, settings: dict[str, str], sentence: str
) -> None:
    service = stack.start(name, **settings)
    assert service.process.wait(DEADLINE_SECONDS) == EXIT_BAD_CONFIGURATION
    assert sentence in service.log.read_text()
