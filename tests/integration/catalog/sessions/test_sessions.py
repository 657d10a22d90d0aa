"""The catalogue on a real PostgreSQL: sessions and the starting of them."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import (
    MODEL,
    begin,
    broken,
    embedded,
    items_of,
    new_session,
    table,
)
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.runs import lifecycle, results
from triptych_gateway.catalog.sessions import control, sessions
from triptych_gateway.catalog.states import NotAllowedError


async def test_a_new_session_has_a_pending_run_of_each_phase(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        runs = await lifecycle.latest_runs(connection, session_id)

    assert {phase: (run.number, str(run.status), run.generation) for phase, run in runs.items()} == dict.fromkeys(
        sessions.PHASES, (1, "pending", 1)
    )


async def test_an_unknown_session_is_not_found(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with pytest.raises(NotFoundError):
            await sessions.get_session(connection, 1)
        with pytest.raises(NotFoundError):
            await control.start_session(connection, 1)


@pytest.mark.parametrize("status", ["pending", "running", "paused", "cancelled", "failed"])
async def test_start_leads_to_running(engine: AsyncEngine, status: str) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await connection.execute(
            text("UPDATE sessions SET status = :status, error_code = 'x', paused_at = now()"), {"status": status}
        )

        assert await control.start_session(connection, session_id) == "running"
        session = await sessions.get_session(connection, session_id)

    assert session.status == "running"
    if status != "running":
        assert (session.error_code, session.paused_at, session.completed_at) == (None, None, None)
        assert session.started_at is not None


async def test_starting_an_old_session_gives_it_the_runs_that_it_lacks(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await connection.execute(text("UPDATE sessions SET status = 'cancelled'"))
        await connection.execute(text("DELETE FROM runs WHERE phase <> 'training'"))

        await control.start_session(connection, session_id)
        runs = await lifecycle.latest_runs(connection, session_id)

    assert {phase: (run.number, str(run.status)) for phase, run in runs.items()} == dict.fromkeys(
        sessions.PHASES, (1, "pending")
    )


async def test_a_completed_session_cannot_be_started(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await sessions.end_session(connection, session_id, status="completed")

        with pytest.raises(NotAllowedError) as refused:
            await control.start_session(connection, session_id)

    assert refused.value.status == "completed"


async def test_two_starts_at_once_announce_once(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)

    async def start() -> str:
        async with engine.begin() as connection:
            return await control.start_session(connection, session_id)

    assert list(await asyncio.gather(start(), start(), start())) == ["running"] * 3
    async with engine.connect() as connection:
        assert await table(connection, "SELECT count(*) FROM outbox") == [(len(sessions.PHASES),)]


async def test_starting_a_failed_session_renews_the_failed_phase_and_keeps_the_bar(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b", b"/photos/c", b"/photos/d"])
        run = await begin(connection, session_id)
        one, two, *_ = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one), broken(two)], model_id=MODEL)
        await lifecycle.update_run(connection, run.id, status="failed", error_code="x", error_message="X.")
        await sessions.end_session(connection, session_id, status="failed", error_code="x", error_message="X.")

        await control.start_session(connection, session_id)
        runs = await lifecycle.latest_runs(connection, session_id)
        again = await begin(connection, session_id)

    assert {phase: one.number for phase, one in runs.items()} == {"training": 2, "face_detection": 1, "clustering": 1}
    assert (runs["training"].status, runs["training"].total, runs["training"].skipped) == ("pending", 4, 1)
    assert (again.total, again.skipped, again.failed) == (4, 1, 0)


async def test_the_revision_of_a_session_grows_with_every_change_in_one_transaction_and_across(
    engine: AsyncEngine,
) -> None:
    moments = []
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await connection.execute(text("UPDATE sessions SET updated_at = now() + interval '1 hour'"))
        for _ in range(3):
            await lifecycle.announce_all(connection, session_id)
            moments.append((await sessions.get_session(connection, session_id)).updated_at)
    async with engine.begin() as connection:
        await sessions.mark_discovered(connection, session_id)
        moments.append((await sessions.get_session(connection, session_id)).updated_at)

    assert moments == sorted(set(moments))


async def test_sessions_are_listed_by_the_status_that_is_shown(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        looking, working, waiting = [await new_session(connection) for _ in range(3)]
        for session_id in (looking, working):
            await control.start_session(connection, session_id)
        await sessions.mark_discovered(connection, working)

        async def ids(status: str | None) -> list[int]:
            listed, total = await sessions.list_sessions(connection, offset=0, limit=10, status=status)
            assert total == len(listed)
            return [one.id for one in listed]

        assert await ids("discovering") == [looking]
        assert await ids("running") == [working]
        assert await ids("pending") == [waiting]
        assert await ids(None) == [waiting, working, looking]
