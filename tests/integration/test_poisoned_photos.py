"""Photos that crash their decoder or hang in it, in a real embedder over real gRPC: each costs itself alone."""

import asyncio
import io
import signal
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from PIL import Image

from tests.support.child_processes import children_of, is_running
from tests.support.metrics import scrape, scrape_until
from tests.support.poisoned_decoder import poisoned
from tests.support.poisoned_embedder import PROGRAM
from tests.support.ports import free_port
from tests.support.real_servers import eventually
from tests.support.running_workers import DEADLINE_SECONDS, Service, Stack, stop, until_serving, worker_stack
from triptych.v1 import embedder_pb2, embedder_pb2_grpc, image_pb2

PHOTOS = 20


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with worker_stack(tmp_path_factory.mktemp("workers")) as stack:
        yield stack


@pytest.fixture
async def embedder(stack: Stack) -> AsyncIterator[tuple[Service, str]]:
    """One whose decoders can be poisoned, and where its metrics are."""
    metrics = f"127.0.0.1:{free_port()}"
    service = stack.start("embedder", PROGRAM, decode_threads="2", decode_seconds="5", metrics_listen=metrics)
    await until_serving(service)
    yield service, metrics
    stop(service.process)


def _photos(stack: Stack, poisons: dict[int, str]) -> list[image_pb2.ImageItem]:
    """Twenty, of which some are poisoned, by their number."""
    names = []
    for number in range(PHOTOS):
        file = io.BytesIO()
        Image.new("RGB", (64, 48), (number * 12, 0, 0)).save(file, "JPEG", quality=95)
        photo = poisoned(file.getvalue(), poisons[number]) if number in poisons else file.getvalue()
        names.append(f"poisoned-{number}.jpg")
        (stack.media / names[-1]).write_bytes(photo)
    return stack.items(names)


async def _outcomes(service: Service, items: list[image_pb2.ImageItem]) -> dict[int, embedder_pb2.EmbedOutcome]:
    async with grpc.aio.insecure_channel(service.address) as channel, asyncio.timeout(DEADLINE_SECONDS):
        request = embedder_pb2.EmbedImagesRequest(items=items)
        messages = [message async for message in embedder_pb2_grpc.EmbedderStub(channel).EmbedImages(request)]
    return {outcome.item_id - 100: outcome for message in messages for outcome in message.outcomes}


async def test_one_photo_of_twenty_that_crashes_its_decoder_costs_itself_alone(
    stack: Stack, embedder: tuple[Service, str]
) -> None:
    service, metrics = embedder
    outcomes = await _outcomes(service, _photos(stack, {7: "segfault"}))
    assert {number for number, outcome in outcomes.items() if outcome.HasField("vector")} == {*range(PHOTOS)} - {7}
    error = outcomes[7].error
    assert (error.code, error.permanent) == (image_pb2.IMAGE_ERROR_CODE_DECODER_CRASHED, True)
    assert (await scrape(metrics)).get("triptych_decoders_lost_total", reason="crashed") == 2
    assert '"item_id": 107' in service.log.read_text()


async def test_photos_that_do_their_worst_at_once_cost_themselves_alone(
    stack: Stack, embedder: tuple[Service, str]
) -> None:
    service, _ = embedder
    poisons = {2: "hang", 3: "abort", 11: "allocate", 12: "exit", 19: "spin"}
    outcomes = await _outcomes(service, _photos(stack, poisons))
    codes = {number: outcome.error.code for number, outcome in outcomes.items() if outcome.HasField("error")}
    assert codes == {
        2: image_pb2.IMAGE_ERROR_CODE_DECODER_TIMED_OUT,
        3: image_pb2.IMAGE_ERROR_CODE_DECODER_CRASHED,
        11: image_pb2.IMAGE_ERROR_CODE_TOO_LARGE,
        12: image_pb2.IMAGE_ERROR_CODE_DECODER_CRASHED,
        19: image_pb2.IMAGE_ERROR_CODE_DECODER_TIMED_OUT,
    }
    assert len(outcomes) == PHOTOS
    # The decoders that there are now have nothing the matter with them.
    assert all(outcome.HasField("vector") for outcome in (await _outcomes(service, _photos(stack, {}))).values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_no_decoder_outlives_the_service_however_it_ends_and_whatever_they_do(
    stack: Stack, embedder: tuple[Service, str], number: signal.Signals
) -> None:
    service, metrics = embedder
    decoders = children_of(service.process.pid)
    assert len(decoders) == 2
    asking = asyncio.create_task(_outcomes(service, _photos(stack, {0: "spin"})))
    await scrape_until(
        metrics, lambda told: bool(told.get("triptych_photos_waiting", stage="decoding")), "a decoder is at work"
    )
    service.process.send_signal(number)
    asking.cancel()
    await asyncio.to_thread(service.process.wait, DEADLINE_SECONDS)

    async def have_ended() -> bool:
        return not any(map(is_running, decoders))

    await eventually(have_ended, "the decoders end with their service")
