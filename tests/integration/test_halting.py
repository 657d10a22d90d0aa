"""A button that another gateway was told of stops the work here, and not only once the lease is renewed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import WEIGHTS, found
from tests.support.ending import end_tasks
from tests.support.pipeline import Pipeline, pipeline_over
from tests.support.real_servers import eventually
from tests.support.scripted_workers import ScriptedWorkers, scripted_workers
from triptych_common.media.locations import MediaRoots
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.sessions import control, session_edits, sessions
from triptych_gateway.pipeline import scheduler
from triptych_gateway.pipeline.scheduler import Scheduler

HELD_AT = 5
NEVER_SECONDS = 3600.0


@pytest.fixture
def workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        running.embedder.photos_of_work = HELD_AT
        yield running


@pytest_asyncio.fixture
async def pipeline(engine: AsyncEngine, workers: ScriptedWorkers) -> AsyncIterator[Pipeline]:
    async with pipeline_over(engine, workers) as over:
        yield over


async def start(engine: AsyncEngine) -> int:
    """A session whose photos were found, to be run."""
    async with engine.begin() as connection:
        session_id = await sessions.create_session(
            connection,
            name="n",
            root_path=b"/photos",
            config={},
            weights=WEIGHTS,
            category_id=None,
            shard_size=4 * HELD_AT,
        )
        await photos.add_photos(connection, session_id, [found(b"/photos/%02d" % number) for number in range(20)])
        await control.start_session(connection, session_id)
        await sessions.mark_discovered(connection, session_id)
    return session_id


async def pause(connection: AsyncConnection, session_id: int) -> None:
    await control.pause_session(connection, session_id)


async def cancel_and_delete(connection: AsyncConnection, session_id: int) -> None:
    await control.cancel_session(connection, session_id)
    await session_edits.delete_session(connection, session_id)


@pytest.mark.parametrize("halt", [pause, cancel_and_delete])
async def test_work_ends_without_a_look_at_the_lease(
    engine: AsyncEngine,
    pipeline: Pipeline,
    workers: ScriptedWorkers,
    monkeypatch: pytest.MonkeyPatch,
    halt: Callable[[AsyncConnection, int], Awaitable[None]],
) -> None:
    monkeypatch.setattr(scheduler, "RENEW_SECONDS", NEVER_SECONDS)
    session_id = await start(engine)
    gateway = Scheduler(
        engine,
        roots=MediaRoots(["/photos"]),
        photo_services=pipeline.photo_services,
        clusterers=pipeline.clusterers,
        max_sessions=1,
    )
    running = asyncio.create_task(gateway.run())

    async def is_held() -> bool:
        return workers.embedder.worked == HELD_AT

    async def is_idle() -> bool:
        return workers.embedder.under_way == 0

    try:
        await eventually(is_held, "some photos are embedded")
        async with engine.begin() as connection:
            await halt(connection, session_id)
        await eventually(is_idle, "nobody asks for more")
    finally:
        await end_tasks([running])
    assert workers.embedder.worked == HELD_AT
