"""How much work waits for each service of photos, as an autoscaler reads it from the gateway."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from tests.support.catalogue import table
from tests.support.metrics import Scrape, scrape_until
from tests.support.pipeline import Pipeline, pipeline_over
from tests.support.ports import free_port
from tests.support.real_servers import eventually
from tests.support.running_gateway import running_gateway
from tests.support.scripted_workers import MICRO_BATCH, ScriptedWorkers, scripted_workers
from triptych_common.metrics import serving_metrics
from triptych_gateway.pipeline.metrics import PipelineMetrics
from triptych_gateway.pipeline.photos.photo_services import CATALOGUE_USERS

SHARD_PHOTOS = 16
"""As the sessions of `Pipeline` have them."""
SHARDS = 10
NOTHING = {"embedder": 0.0, "facedetect": 0.0}
NEVER = float("inf")


@pytest.fixture
def workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        yield running


@pytest_asyncio.fixture
async def pipeline(engine: AsyncEngine, workers: ScriptedWorkers) -> AsyncIterator[Pipeline]:
    async with pipeline_over(engine, workers) as over:
        yield over


@pytest_asyncio.fixture
async def address(pipeline: Pipeline) -> AsyncIterator[str]:
    """Where the metrics are."""
    services = pipeline.photo_services
    collector = PipelineMetrics({"embedder": services["training"], "facedetect": services["face_detection"]})
    where = f"127.0.0.1:{free_port()}"
    async with serving_metrics(where, collectors=[collector]):
        yield where


def waiting(scrape: Scrape) -> dict[str, float]:
    return scrape.by_label("triptych_shards_waiting", "service")


def in_flight(scrape: Scrape) -> dict[str, float]:
    return scrape.by_label("triptych_shards_in_flight", "service")


async def test_shards_wait_first_for_one_service_then_for_the_other_then_for_none(
    pipeline: Pipeline, workers: ScriptedWorkers, address: str
) -> None:
    workers.embedder.photos_of_work = workers.facedetect.photos_of_work = 0
    sessions = [
        await pipeline.take(photo_count=SHARDS * SHARD_PHOTOS, folder="a"),
        await pipeline.take(photo_count=SHARDS * SHARD_PHOTOS, folder="b"),
    ]
    async with asyncio.TaskGroup() as tasks:
        for session in sessions:
            tasks.create_task(pipeline.run(session))

        full = await scrape_until(
            address,
            lambda one: (
                _all(one, "embedder") == 2 * SHARDS
                and in_flight(one)["embedder"] == one.get("triptych_shards_limit", service="embedder")
            ),
            "both wait",
        )
        assert waiting(full)["facedetect"] == 0

        workers.embedder.photos_of_work = 5 * SHARD_PHOTOS + MICRO_BATCH
        await scrape_until(address, lambda one: 0 < _all(one, "embedder") <= 2 * SHARDS - 4, "some are finished")

        workers.embedder.photos_of_work = NEVER
        await scrape_until(address, lambda one: _all(one, "facedetect") == 2 * SHARDS, "both wait for the other")
        workers.facedetect.photos_of_work = NEVER

    over = await scrape_until(address, lambda one: waiting(one) == in_flight(one) == NOTHING, "nothing waits")
    assert waiting(over) == NOTHING


async def test_a_session_that_is_halted_waits_for_nothing(
    pipeline: Pipeline, workers: ScriptedWorkers, address: str
) -> None:
    workers.embedder.photos_of_work = 0
    session = await pipeline.take(photo_count=SHARDS * SHARD_PHOTOS)
    working = asyncio.create_task(pipeline.run(session))
    await scrape_until(address, lambda one: in_flight(one)["embedder"] > 0, "it is at work")

    working.cancel()
    await asyncio.wait([working])

    await scrape_until(address, lambda one: waiting(one) == in_flight(one) == NOTHING, "nothing waits")


async def test_however_many_shards_are_to_be_stored_at_once_others_have_connections(
    pipeline: Pipeline, workers: ScriptedWorkers
) -> None:
    pool = pipeline.engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    limit = pipeline.photo_services["training"].limit
    limit.follow(replicas=SHARDS)
    workers.embedder.photos_of_work = 0
    session = await pipeline.take(photo_count=SHARDS * SHARD_PHOTOS)

    async def all_are_in_flight() -> bool:
        return limit.in_flight == SHARDS > CATALOGUE_USERS

    async def some_wait_for_the_row() -> bool:
        async with pipeline.engine.connect() as connection:
            waits = await table(connection, "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        return waits == [(CATALOGUE_USERS,)] and workers.embedder.worked == SHARDS * SHARD_PHOTOS

    running = asyncio.create_task(pipeline.run(session))
    await eventually(all_are_in_flight, "every shard is in flight")
    async with pipeline.engine.begin() as holding:
        await holding.execute(text("SELECT 1 FROM sessions FOR UPDATE"))
        workers.embedder.photos_of_work = NEVER
        await eventually(some_wait_for_the_row, "every answer has come, and some wait to be stored")
        assert pool.checkedout() <= 1 + CATALOGUE_USERS, "this one, and theirs"
    await running

    assert (await pipeline.session(session)).status == "completed"


def _all(scrape: Scrape, service: str) -> float:
    return waiting(scrape)[service] + in_flight(scrape)[service]


async def test_work_waits_for_a_service_without_replicas_so_that_it_is_given_some(
    database_url: str, nats_url: str, tmp_path: Path
) -> None:
    where = f"127.0.0.1:{free_port()}"

    def start() -> None:
        with gateway.client() as client:
            session_id = gateway.create(client)
            client.post(f"/api/v1/training/sessions/{session_id}/start").raise_for_status()

    with running_gateway(
        database_url=database_url, nats_url=nats_url, folder=tmp_path, TRIPTYCH_METRICS_LISTEN=where
    ) as gateway:
        await scrape_until(where, lambda one: waiting(one) == NOTHING, "nothing waits yet")

        await asyncio.to_thread(start)

        await scrape_until(where, lambda one: waiting(one) == {"embedder": 1.0, "facedetect": 0.0}, "one shard waits")
