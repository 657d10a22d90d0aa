"""The catalogue on a real PostgreSQL: which sessions changed, and their rows many at a time."""

from collections.abc import Collection
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import begin, new_session
from triptych_gateway.catalog.runs import lifecycle
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.sessions import changes, sessions


async def set_status(connection: AsyncConnection, session_id: int, status: str) -> None:
    await connection.execute(
        text("UPDATE sessions SET status = :status WHERE id = :id"), {"status": status, "id": session_id}
    )


async def age(connection: AsyncConnection, session_id: int, by: timedelta) -> None:
    """Let a session look as if it had changed so much earlier."""
    await connection.execute(
        text("UPDATE sessions SET updated_at = updated_at - CAST(:by AS interval) WHERE id = :id"),
        {"by": by, "id": session_id},
    )


async def test_many_sessions_are_loaded_each_with_its_latest_runs(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        first, second = [await new_session(connection, paths=[b"/photos/a"]) for _ in range(2)]
        await begin(connection, first)
        await connection.execute(text("UPDATE runs SET status = 'failed' WHERE session_id = :id"), {"id": second})
        await lifecycle.renew_runs_from_failed(connection, second)

        loaded = await changes.load(connection, [first, second, 10**6])

        assert loaded.keys() == {first, second}
        for session_id, rows in loaded.items():
            assert rows.session == await sessions.get_session(connection, session_id)
            assert rows.runs == await lifecycle.latest_runs(connection, session_id)
        assert {run.number for run in loaded[second].runs.values()} == {2}


async def test_an_old_session_without_runs_is_loaded_as_well(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await connection.execute(text("DELETE FROM runs"))

        assert (await changes.load(connection, [session_id]))[session_id].runs == {}


async def test_what_is_committed_between_session_and_runs_makes_the_session_read_again(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        run = await begin(connection, session_id)
    read_runs = lifecycle.latest_runs_of

    async def commit_first(connection: AsyncConnection, session_ids: Collection[int]) -> dict[int, dict[str, Run]]:
        async with engine.begin() as other:
            await lifecycle.update_run(other, run.id, status="failed")
            await other.execute(text("UPDATE sessions SET status = 'failed', updated_at = clock_timestamp()"))
        return await read_runs(connection, session_ids)

    monkeypatch.setattr(lifecycle, "latest_runs_of", commit_first)
    async with engine.connect() as connection:
        found = (await changes.load(connection, [session_id]))[session_id]
        (change,), _ = await changes.changed_since(connection, found.session.updated_at)

    assert (found.session.status, found.runs["training"].status) == ("pending", "failed")
    assert change.at != found.session.updated_at, "so the watch finds that it is behind"


async def test_running_and_paused_sessions_are_under_way(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        made = {}
        for status in ("pending", "running", "paused", "completed", "failed", "cancelled"):
            made[status] = await new_session(connection)
            await set_status(connection, made[status], status)

        assert sorted(await changes.ids_under_way(connection)) == [made["running"], made["paused"]]


async def test_changes_are_those_since_a_moment_and_a_little_before_it(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        old, late, new = [await new_session(connection) for _ in range(3)]
        await set_status(connection, new, "running")
        await age(connection, old, 1.5 * changes.OVERLAP)
        await age(connection, late, 0.5 * changes.OVERLAP)
        moment = await changes.database_time(connection)

        found, now = await changes.changed_since(connection, moment)

        assert {one.session_id: one.status for one in found} == {late: "pending", new: "running"}
        assert now == moment


async def test_a_deleted_session_is_no_longer_there(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        kept, deleted = [await new_session(connection) for _ in range(2)]
        await connection.execute(text("DELETE FROM sessions WHERE id = :id"), {"id": deleted})

        assert await changes.still_there(connection, [kept, deleted]) == {kept}
        assert await changes.still_there(connection, []) == set()
