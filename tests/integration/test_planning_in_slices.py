"""A run is planned in slices: what holds between two of them, and what is left of a plan that breaks off there."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.held_planning import held_planning
from tests.support.pipeline import Pipeline, pipeline_over
from tests.support.real_servers import DEADLINE_SECONDS, eventually
from tests.support.scripted_workers import ScriptedWorkers, scripted_workers
from triptych_gateway.catalog.runs import leases, planning
from triptych_gateway.catalog.runs.leases import LeaseLostError
from triptych_gateway.catalog.sessions import control
from triptych_gateway.pipeline.ownership import OwnedSession

PHOTOS = 20
HELD_AT = 10


@pytest.fixture
def workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        yield running


@pytest_asyncio.fixture
async def pipeline(engine: AsyncEngine, workers: ScriptedWorkers) -> AsyncIterator[Pipeline]:
    async with pipeline_over(engine, workers) as over:
        yield over


async def take_again(pipeline: Pipeline, owned: OwnedSession) -> OwnedSession:
    """The lease anew, of a session that goes on."""
    async with pipeline.engine.begin() as connection:
        lease = await leases.claim(connection, holder=owned.lease.holder)
    assert lease is not None
    return OwnedSession(pipeline.engine, lease)


async def items_and_jobs(pipeline: Pipeline) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Runs with their places by state, and jobs by status."""
    return (
        await pipeline.rows("""
            SELECT r.phase, r.number, i.state, count(*), count(DISTINCT i.asset_id), max(i.ordinal)
            FROM run_items i JOIN runs r ON r.id = i.run_id GROUP BY 1, 2, 3 ORDER BY r.phase DESC, r.number"""),
        await pipeline.rows("SELECT status, count(*) FROM session_assets GROUP BY 1 ORDER BY 1"),
    )


@pytest.mark.parametrize("slice_rows", [1, 3, HELD_AT, PHOTOS + 1])
async def test_a_lease_that_is_taken_between_slices_leaves_nothing_of_the_plan(
    pipeline: Pipeline, database_url: str, monkeypatch: pytest.MonkeyPatch, slice_rows: int
) -> None:
    monkeypatch.setattr(planning, "SLICE", slice_rows)
    owned = await pipeline.take(photo_count=PHOTOS)
    async with held_planning(database_url, owned.session_id, ordinal=HELD_AT) as held:
        running = asyncio.create_task(pipeline.run(owned))
        await held.until_held()
        async with asyncio.timeout(DEADLINE_SECONDS), pipeline.engine.begin() as connection:
            await control.pause_session(connection, owned.session_id)
    # Nobody has told it: it finds out by itself.
    with pytest.raises(LeaseLostError):
        await running
    assert await items_and_jobs(pipeline) == ([], [("pending", PHOTOS)])

    async with pipeline.engine.begin() as connection:
        await control.resume_session(connection, owned.session_id)
    await pipeline.run(await take_again(pipeline, owned))

    assert await items_and_jobs(pipeline) == (
        [(phase, 1, "done", PHOTOS, PHOTOS, PHOTOS - 1) for phase in ("training", "face_detection")],
        [("completed", PHOTOS)],
    )


async def test_jobs_are_changed_in_transactions_of_their_own_and_all_of_them_in_the_end(
    pipeline: Pipeline, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "JOBS_SLICE", 3)
    owned = await pipeline.take(photo_count=PHOTOS)
    await pipeline.run(owned)
    async with engine.begin() as connection:
        await control.restart_phase(connection, owned.session_id, "training")
    again = await take_again(pipeline, owned)

    async with engine.begin() as holder:
        await holder.execute(
            text("SELECT FROM session_assets WHERE id = (SELECT max(id) FROM session_assets) FOR UPDATE")
        )
        running = asyncio.create_task(pipeline.run(again))

        async def all_but_the_last_slice_are_changed() -> bool:
            changed = await pipeline.rows("SELECT count(*) FROM session_assets WHERE status = 'pending'")
            return changed == [(PHOTOS - PHOTOS % 3,)]

        await eventually(all_but_the_last_slice_are_changed, "slices before the one that waits are committed")
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()

    await pipeline.run(await take_again(pipeline, again))

    items, jobs = await items_and_jobs(pipeline)
    assert items == [
        ("training", 1, "done", PHOTOS, PHOTOS, PHOTOS - 1),
        ("training", 2, "done", PHOTOS, PHOTOS, PHOTOS - 1),
        ("face_detection", 1, "done", PHOTOS, PHOTOS, PHOTOS - 1),
    ]
    assert jobs == [("completed", PHOTOS)]


async def test_a_connection_that_planned_keeps_nothing_of_it(pipeline: Pipeline, database_url: str) -> None:
    owned = await pipeline.take(photo_count=PHOTOS)
    async with held_planning(database_url, owned.session_id, ordinal=HELD_AT) as held:
        running = asyncio.create_task(pipeline.run(owned))
        await held.until_held()
        running.cancel()
        await asyncio.wait([running])
        await held.until_given_up()
    temporary = "SELECT count(*) FROM pg_class WHERE relname IN ('planned_items', 'job_changes')"

    async def is_gone() -> bool:
        return await pipeline.rows(temporary) == [(0,)]

    await eventually(is_gone, "its connection was closed")
    await pipeline.run(await take_again(pipeline, owned))
    assert await pipeline.rows(temporary) == [(0,)]
