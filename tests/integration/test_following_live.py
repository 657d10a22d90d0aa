"""Streams of progress: the whole snapshot first, then changes; a slow reader finds only the newest."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.emptied_database import database_of_a_file, emptied
from tests.support.live_parts import LiveParts, live_parts
from tests.support.real_servers import DEADLINE_SECONDS, PostgresServer
from tests.support.scripted_progress import ScriptedProgress, scripted_progress
from triptych_gateway.api import event_stream, live_progress
from triptych_gateway.api.snapshots import Snapshot


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
async def parts(
    engine: AsyncEngine, progress: ScriptedProgress, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LiveParts]:
    """With heartbeats so close together that one soon shows that there is nothing else."""
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(event_stream, "APART_SECONDS", 0.01)
    async with live_parts(engine, progress) as running:
        yield running


def test_heartbeats_are_fifteen_seconds_apart() -> None:
    assert event_stream.HEARTBEAT_SECONDS == 15


async def test_the_first_event_is_the_whole_snapshot_and_silence_is_filled_with_heartbeats(parts: LiveParts) -> None:
    session_id = await parts.session()
    await parts.say(session_id, done=4)

    async with parts.following(session_id) as events:
        first = await events.next()
        assert first is not None
        assert (first.name, first.done) == ("progress", 4)
        assert first.body.keys() == (await parts.shown(session_id)).keys()
        assert first.id == first.body["revision"]
        assert [await events.next() for _ in range(3)] == [None] * 3


async def test_a_session_that_changes_without_news_for_a_reader_is_silence_too(parts: LiveParts) -> None:
    session_id = await parts.session()

    def nothing_new(snapshot: Snapshot) -> event_stream.StreamEvent:
        return event_stream.StreamEvent(status="running", id=str(snapshot.revision), content=b"{}", news=b"{}")

    stream = event_stream.follow(parts.snapshots, session_id, event_of=nothing_new, last_event_id="")
    assert isinstance(stream, AsyncGenerator)
    async with contextlib.aclosing(stream), asyncio.timeout(DEADLINE_SECONDS):
        assert (await anext(stream)).startswith(b"event: progress")
        told = asyncio.ensure_future(anext(stream))
        done = 0
        while not told.done():
            done += 1
            await parts.say(session_id, done=done)
        assert (await told).startswith(b":"), "a heartbeat, however often the session changes"


async def test_a_slow_reader_finds_only_the_newest(parts: LiveParts) -> None:
    session_id = await parts.session()
    async with parts.following(session_id) as events:
        await events.next_event()
        for done in range(1, 31):
            await parts.say(session_id, done=done)

        newest = await events.next_event()
        assert newest.done == 30
        assert await events.next() is None, "what it missed is not told afterwards"


async def test_a_reader_that_has_the_present_snapshot_is_told_of_the_next_only(parts: LiveParts) -> None:
    session_id = await parts.session()
    await parts.say(session_id, done=4)
    revision = (await parts.shown(session_id))["revision"]

    async with parts.following(session_id, after_revision=revision) as events:
        assert await events.next() is None
        await parts.say(session_id, done=5)
        assert (await events.next_event()).done == 5
    async with parts.following(session_id, after_revision=revision) as behind:
        caught_up = await behind.next()
        assert caught_up is not None
        assert caught_up.done == 5


@pytest.mark.parametrize(("status", "name"), [("completed", "complete"), ("failed", "error"), ("cancelled", "error")])
async def test_the_stream_ends_after_the_terminal_snapshot(parts: LiveParts, status: str, name: str) -> None:
    session_id = await parts.session()
    async with parts.following(session_id) as events:
        await events.next_event()
        await parts.change(session_id, status)

        last = await events.next_event()
        while last.body["overallStatus"] == "running":
            last = await events.next_event()
        assert (last.name, last.body["overallStatus"]) == (name, status)
        assert await events.is_at_end()


async def test_the_stream_of_a_deleted_session_ends(parts: LiveParts) -> None:
    session_id = await parts.session()
    async with parts.following(session_id) as events:
        await events.next_event()
        await parts.delete(session_id)
        await parts.snapshots.refresh(session_id)

        while not await events.is_at_end():
            pass


async def test_all_streams_end_when_the_gateway_does(parts: LiveParts) -> None:
    session_id = await parts.session()
    async with parts.following(session_id) as one, parts.following(None) as every:
        await one.next_event()
        await parts.until(lambda: parts.catalog.under_way() == [session_id], "the session is seen")
        await every.next_event()

        parts.snapshots.close()

        assert await one.is_at_end()
        assert await every.is_at_end()


async def test_the_stream_of_all_begins_with_every_session_under_way(parts: LiveParts) -> None:
    made = {status: await parts.session(status) for status in ("pending", "running", "paused", "failed")}
    under_way = {made["running"], made["paused"]}
    await parts.until(lambda: set(parts.catalog.under_way()) == under_way, "they are seen")

    async with parts.following(None) as events:
        first = [await events.next_event() for _ in under_way]
        assert {event.session_id for event in first} == under_way
        assert {event.name for event in first} == {"progress"}
        assert await events.next() is None


async def test_the_stream_of_all_tells_each_change_and_each_end_and_goes_on(parts: LiveParts) -> None:
    ending, staying = await parts.session(), await parts.session()
    await parts.until(lambda: len(parts.catalog.under_way()) == 2, "they are seen")

    async with parts.following(None) as events:
        ids = [(await events.next_event()).id for _ in range(2)]
        await parts.change(ending, "completed")
        end = await events.next_event()
        assert (end.session_id, end.name) == (ending, "complete")
        await parts.say(staying, done=9)
        moved = await events.next_event()
        assert (moved.session_id, moved.done) == (staying, 9)

    ids += [end.id, moved.id]
    assert ids == sorted(ids), "ids only grow, so that the last one tells what a reader has"


async def test_a_slow_reader_of_all_finds_the_newest_of_each(parts: LiveParts) -> None:
    first, second = await parts.session(), await parts.session()
    await parts.until(lambda: len(parts.catalog.under_way()) == 2, "they are seen")
    async with parts.following(None) as events:
        for _ in range(2):
            await events.next_event()
        for done in range(1, 21):
            await parts.say(first, done=done)
            await parts.say(second, done=2 * done)

        newest = [await events.next_event() for _ in range(2)]
        assert {event.session_id: event.done for event in newest} == {first: 20, second: 40}
        assert await events.next() is None


async def test_a_reader_of_all_that_connects_again_is_told_what_changed_meanwhile(parts: LiveParts) -> None:
    moving, resting = await parts.session(), await parts.session()
    for session_id in (moving, resting):
        await parts.say(session_id, done=1)
    await parts.until(lambda: len(parts.catalog.under_way()) == 2, "they are seen")
    async with parts.following(None) as events:
        last_id = [(await events.next_event()).id for _ in range(2)][-1]

    await parts.say(moving, done=2)

    async with parts.following(None, after_revision=last_id) as again:
        told = [await again.next_event() for _ in range(2)]
        assert {one.session_id: one.done for one in told} == {moving: 2, resting: 1}
        assert all(one.id >= last_id for one in told), "ids only grow"
        assert await again.next() is None


async def test_a_session_that_is_started_is_told_to_a_reader_of_all_that_was_waiting(parts: LiveParts) -> None:
    async with parts.following(None) as events:
        assert await events.next() is None, "it waits, and there is nothing yet"
        session_id = await parts.session()
        assert (await events.next_event()).session_id == session_id


async def test_a_reader_of_all_that_was_told_of_something_newer_still_learns_of_a_pause(parts: LiveParts) -> None:
    """Another gateway paused a session; before this one looked, it told of another, newer change."""
    paused, moving = await parts.session(), await parts.session()
    await parts.until(lambda: len(parts.catalog.under_way()) == 2, "both are seen")
    async with parts.following(None) as events:
        for _ in range(2):
            await events.next_event()
        await parts.change(paused, "paused")
        await parts.say(moving, done=5)
        told = await events.next_event()
    async with parts.following(None, after_revision=told.id) as again:
        statuses: dict[int, str] = {}
        while statuses.get(paused) != "paused":
            event = await again.next_event()
            statuses[event.session_id] = event.body["overallStatus"]


async def test_a_reader_of_all_that_connects_again_learns_which_sessions_ended_meanwhile(parts: LiveParts) -> None:
    session_id = await parts.session()
    async with parts.following(None) as events:
        told = await events.next_event()
    await parts.change(session_id, "completed")
    await parts.until(lambda: not parts.catalog.under_way(), "the end is seen")
    async with parts.following(None, after_revision=told.id) as again:
        event = await again.next_event()
        assert (event.session_id, event.name) == (session_id, "complete")


@pytest.mark.parametrize("is_page_open", [False, True])
async def test_every_reader_is_told_that_answers_may_be_old(
    parts: LiveParts, monkeypatch: pytest.MonkeyPatch, is_page_open: bool
) -> None:
    monkeypatch.setattr(live_progress, "SILENCE_SECONDS", 0.1)
    session_id = await parts.session("pending")
    page = parts.snapshots.read(None) if is_page_open else None
    async with parts.following(session_id) as events:
        await events.next_event()
        parts.progress.stop()
        assert (await events.next_event()).body["stale"]
    if page is not None:
        page.close()
