"""What is shown of sessions comes out of the gateway's memory: made once for all readers, and up to date by itself."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.emptied_database import database_of_a_file, emptied
from tests.support.live_parts import PHOTOS, LiveParts, live_parts
from tests.support.real_servers import PostgresServer
from tests.support.scripted_progress import ScriptedProgress, phase_at_work, said, scripted_progress
from triptych_common.rpc.channels import ReplicaPool
from triptych_gateway.api import live_progress, snapshots
from triptych_gateway.api.catalog_watch import CatalogWatch
from triptych_gateway.api.live_progress import LiveProgress
from triptych_gateway.api.schemas import ServiceHealth
from triptych_gateway.catalog.database import create_engine
from triptych_gateway.catalog.errors import NotFoundError


@pytest.fixture(scope="module")
def database_of_file(postgres: PostgresServer) -> Iterator[str]:
    with database_of_a_file(postgres) as url:
        yield url


@pytest.fixture
def database_url(database_of_file: str) -> str:
    return emptied(database_of_file)


@pytest.fixture
def progress() -> Iterator[ScriptedProgress]:
    with scripted_progress() as running:
        yield running


@pytest_asyncio.fixture
async def parts(engine: AsyncEngine, progress: ScriptedProgress) -> AsyncIterator[LiveParts]:
    async with live_parts(engine, progress) as running:
        yield running


async def test_sessions_under_way_are_in_memory_from_the_start(engine: AsyncEngine, parts: LiveParts) -> None:
    made = {status: await parts.session(status) for status in ("pending", "running", "paused", "completed")}

    later = CatalogWatch(engine, counts_needed=lambda: False)
    await later.prime()

    assert sorted(later.under_way()) == [made["running"], made["paused"]]
    assert later.known(made["completed"]) is None
    assert (await later.rows(made["completed"])).session.status == "completed"
    with pytest.raises(NotFoundError):
        await later.rows(10**6)


async def test_what_a_long_transaction_committed_late_is_seen(parts: LiveParts) -> None:
    session_id = await parts.session("pending")
    async with parts.engine.begin() as connection:
        await connection.execute(
            text("UPDATE sessions SET status = 'running', updated_at = now() - interval '1 hour' WHERE id = :id"),
            {"id": session_id},
        )

    await parts.until(lambda: parts.catalog.under_way() == [session_id], "the change is seen")


async def test_what_another_gateway_changes_is_seen(parts: LiveParts) -> None:
    session_id = await parts.session("pending")
    assert (await parts.shown(session_id))["overallStatus"] == "pending"

    await parts.change(session_id, "running")

    await parts.until(lambda: parts.catalog.under_way() == [session_id], "the change is seen")
    assert (await parts.shown(session_id))["overallStatus"] == "running"


async def test_a_session_that_another_gateway_starts_is_under_way_unasked(parts: LiveParts) -> None:
    session_id = await parts.session("running")

    await parts.until(lambda: parts.catalog.under_way() == [session_id], "the session is seen")


async def test_a_snapshot_is_made_once_for_all_its_readers_and_anew_after_a_change(
    parts: LiveParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "FRESH_SECONDS", 3600.0)
    session_id = await parts.session()
    await parts.until(lambda: parts.catalog.under_way() == [session_id], "the session is seen")
    await parts.say(session_id, done=10)

    many = await asyncio.gather(*(parts.snapshots.get(session_id) for _ in range(50)))
    assert len({id(one) for one in many}) == 1

    await parts.say(session_id, done=11)
    after = await parts.snapshots.get(session_id)
    assert after.revision > many[0].revision
    assert (await parts.shown(session_id))["phases"]["training"]["progress"]["current"] == 11


async def test_an_aggregator_that_says_something_older_is_not_believed(parts: LiveParts) -> None:
    session_id = await parts.session()
    await parts.say(session_id, done=500)
    other = await parts.session()

    parts.progress.say(said(session_id, phase_at_work("training", done=3, total=PHOTOS), revision=7))
    await parts.say(other, done=1)

    assert (await parts.shown(session_id))["phases"]["training"]["progress"]["current"] == 500


async def test_what_was_heard_is_shown_while_the_aggregator_is_away_and_it_is_watched_again_afterwards(
    parts: LiveParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await parts.session()
    await parts.say(session_id, done=500)
    monkeypatch.setattr(live_progress, "SILENCE_SECONDS", 0.1)

    parts.progress.stop()
    await parts.until(lambda: parts.live.is_stale, "the gateway notices")
    monkeypatch.setattr(snapshots, "FRESH_SECONDS", 0.0)
    shown = await parts.shown(session_id)
    assert (shown["phases"]["training"]["progress"]["current"], shown["stale"]) == (500, True)
    assert shown["updatedAt"]

    parts.progress.start()
    await parts.until(lambda: parts.progress.is_watched, "the aggregator is watched again")
    await parts.say(session_id, done=501)
    shown = await parts.shown(session_id)
    assert (shown["phases"]["training"]["progress"]["current"], shown["stale"]) == (501, False)


async def test_a_failed_session_is_shown_as_far_as_the_aggregator_saw_it(parts: LiveParts) -> None:
    """What was in flight at the failure was reported, but never committed: the bar must not move back."""
    session_id = await parts.session("failed")
    async with parts.engine.begin() as connection:
        await connection.execute(text("UPDATE runs SET status = 'failed' WHERE phase = 'training'"))
    parts.progress.keep(
        said(session_id, phase_at_work("training", done=5, total=PHOTOS), revision=time.time_ns() // 1000)
    )

    assert (await parts.shown(session_id))["phases"]["training"]["progress"]["current"] == 5


async def test_a_stall_is_told_with_the_service_that_is_away(parts: LiveParts) -> None:
    session_id = await parts.session()
    stalled = phase_at_work("training", done=5, total=PHOTOS)
    now_microseconds = time.time_ns() // 1000
    stalled.stalled_since.FromMicroseconds(now_microseconds - 60_000_000)
    for name in ("embedder", "facedetect", "cluster"):
        parts.health.services[name] = ServiceHealth(status="away" if name == "embedder" else "ok")

    parts.progress.say(said(session_id, stalled, revision=now_microseconds))
    await parts.until(lambda: parts.has_heard(session_id, now_microseconds), "the gateway has heard it")

    shown = (await parts.shown(session_id))["overallProgress"]
    assert shown["stall"]["phase"] == "training"
    assert shown["stall"]["seconds"] >= 60
    assert shown["stall"]["message"] == f"no progress for {shown['stall']['seconds']} s: embedder is not answering"
    assert shown["percentage"] == pytest.approx(0.1)


async def test_memory_answers_while_the_database_hangs(
    database_url: str, engine: AsyncEngine, progress: ScriptedProgress
) -> None:
    """The rows of a session that is known are not asked for again."""
    impatient = create_engine(database_url, statement_seconds=1.0)
    async with live_parts(impatient, progress) as gateway:
        # The other gateway, which makes sessions, has the usual patience.
        parts = dataclasses.replace(gateway, engine=engine)
        known, unknown = await parts.session(), await parts.session("completed")
        await parts.say(known, done=5)
        assert (await parts.shown(known))["phases"]["training"]["progress"]["current"] == 5
        blocker = create_engine(database_url)
        async with blocker.begin() as holder:
            await holder.execute(text("LOCK TABLE sessions"))
            await parts.say(known, done=6)
            assert (await parts.shown(known))["phases"]["training"]["progress"]["current"] == 6
            with pytest.raises(TimeoutError):
                await parts.shown(unknown)
        await blocker.dispose()
        assert (await parts.shown(unknown))["overallStatus"] == "completed"
    await impatient.dispose()


async def test_priming_learns_what_an_aggregator_knows_and_does_without_one_that_is_away(
    progress: ScriptedProgress,
) -> None:
    progress.keep(said(7, phase_at_work("training", done=5, total=PHOTOS), revision=9))

    async with ReplicaPool([progress.address], service="progress") as pool:
        there = LiveProgress(pool)
        await there.prime(seconds=60)
        heard = there.get(7)
        assert heard is not None
        assert heard.progress.revision == 9
    async with ReplicaPool(["127.0.0.1:1"], service="progress") as nobody:
        away = LiveProgress(nobody)
        await away.prime(seconds=0.2)
        assert away.get(7) is None


async def test_changes_are_seen_after_the_databases_clock_was_set_back(engine: AsyncEngine, parts: LiveParts) -> None:
    ahead = await parts.session()
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE sessions SET updated_at = now() + interval '1 hour'"))
    await parts.until(lambda: _is_ahead(parts, ahead), "the moment ahead is seen")
    session_id = await parts.session()
    await parts.until(lambda: session_id in parts.catalog.under_way(), "the session that was started is seen")


def _is_ahead(parts: LiveParts, session_id: int) -> bool:
    rows = parts.catalog.known(session_id)
    return rows is not None and rows.session.updated_at > datetime.now(UTC) + timedelta(minutes=30)


async def test_many_readers_of_a_session_that_is_not_in_memory_share_one_reading(
    engine: AsyncEngine, parts: LiveParts
) -> None:
    session_id = await parts.session("completed")
    statements: list[str] = []
    listen(engine.sync_engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    await asyncio.gather(*(parts.catalog.rows(session_id) for _ in range(50)))
    assert sum("FROM runs" in statement for statement in statements) <= 2, "by them, and perhaps by the watch itself"
