"""A session groups the library's faces while another one is still finding some."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.pipeline import Pipeline, pipeline_over
from tests.support.real_servers import eventually
from tests.support.scripted_workers import ScriptedWorkers, scripted_workers

FIRST, SECOND = 4, 3
"""Photos of the two sessions, each with a face."""


@pytest.fixture
def workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        yield running


@pytest_asyncio.fixture
async def pipeline(engine: AsyncEngine, workers: ScriptedWorkers) -> AsyncIterator[Pipeline]:
    async with pipeline_over(engine, workers) as over:
        yield over


async def test_faces_that_another_session_finds_before_they_are_sent_are_grouped_too(
    pipeline: Pipeline, workers: ScriptedWorkers
) -> None:
    first = await pipeline.take(photo_count=FIRST, folder="first")
    second = await pipeline.take(photo_count=SECOND, folder="second")
    workers.cluster.trouble = grpc.StatusCode.UNAVAILABLE
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pipeline.run(first))

        async def is_counted() -> bool:
            run = (await pipeline.runs(first))["clustering"]
            return run.status == "running" and run.total == FIRST

        await eventually(is_counted, "the first session has counted its faces")
        tasks.create_task(pipeline.run(second))

        async def are_found() -> bool:
            return await pipeline.rows("SELECT count(*) FROM faces") == [(FIRST + SECOND,)]

        await eventually(are_found, "the second has found more")

        async def are_sent() -> bool:
            return any(call.is_work and call.items == FIRST + SECOND for call in workers.cluster.calls)

        # What was under way when they were found has none of them, and is not to be the one that is answered.
        await eventually(are_sent, "all of them are sent")
        workers.cluster.trouble = None

    for owned in (first, second):
        assert (await pipeline.session(owned)).status == "completed"
        run = (await pipeline.runs(owned))["clustering"]
        assert (run.total, run.done) == (FIRST + SECOND, FIRST + SECOND)
    grouped = await pipeline.rows("SELECT count(*) FROM face_places WHERE group_id IS NOT NULL")
    assert grouped == [(FIRST + SECOND,)]
