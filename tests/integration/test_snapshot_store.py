"""Snapshots in a real key-value store, written by replicas that know nothing of each other: none undoes another's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from nats.js.kv import KeyValue

from tests.support.progress_events import SHARD_SIZE, counts, jetstream_at, life
from triptych_common.progress.events import SNAPSHOT_BUCKET
from triptych_progress.messages import report_from_wire
from triptych_progress.session import Session
from triptych_progress.snapshot_store import SnapshotStore
from triptych_progress.snapshots import Position

KEEP_SECONDS = 3600.0


@pytest_asyncio.fixture
async def stores(nats_url: str) -> AsyncIterator[tuple[SnapshotStore, SnapshotStore]]:
    """The stores of two replicas."""
    async with AsyncExitStack() as stack:
        first, second = [
            SnapshotStore(
                await stack.enter_async_context(jetstream_at(nats_url)), replicas=1, keep_ended_seconds=KEEP_SECONDS
            )
            for _ in range(2)
        ]
        assert await first.open(), "it makes the buckets"
        assert not await second.open(), "it finds them"
        yield first, second


def folded(shards: int) -> Session:
    """A session of which so many shards are done."""
    session = Session()
    for number, event in enumerate([life(), *(counts(ordinal) for ordinal in range(shards))], start=1):
        session.apply(report_from_wire(event), time_microseconds=number)
    return session


def at(sequence: int, *, stream: str = "made then") -> Position:
    return Position(stream=stream, sequence=sequence)


async def done(nats_url: str) -> int | None:
    """What the stored session 1 says is done, to a replica that starts now; None where there is none."""
    async with jetstream_at(nats_url) as jetstream:
        starting = SnapshotStore(jetstream, replicas=1, keep_ended_seconds=KEEP_SECONDS)
        assert not await starting.open()
        sessions, _ = await starting.load()
    return sessions[1].state.phases["training"].counts().done if 1 in sessions else None


@pytest.mark.parametrize("knows_the_key", [False, True], ids=["first write", "later write"])
async def test_a_replica_that_is_behind_does_not_undo_what_another_has_written(
    nats_url: str, stores: tuple[SnapshotStore, SnapshotStore], knows_the_key: bool
) -> None:
    ahead, behind = stores
    if knows_the_key:
        await behind.save(1, folded(1), position=at(2))
    await ahead.save(1, folded(5), position=at(6))
    await behind.save(1, folded(2), position=at(3))
    assert await done(nats_url) == 5 * SHARD_SIZE

    await behind.save(1, folded(7), position=at(8))
    assert await done(nats_url) == 7 * SHARD_SIZE, "once it is ahead, it writes"
    await ahead.save(1, folded(6), position=at(7))
    assert await done(nats_url) == 7 * SHARD_SIZE


async def test_positions_of_a_stream_that_was_made_anew_are_not_compared(
    nats_url: str, stores: tuple[SnapshotStore, SnapshotStore]
) -> None:
    before, after = stores
    await before.save(1, folded(5), position=at(1000))
    await after.save(1, folded(6), position=at(2, stream="made anew"))
    assert await done(nats_url) == 6 * SHARD_SIZE


async def test_what_cannot_be_read_is_replaced(nats_url: str, stores: tuple[SnapshotStore, SnapshotStore]) -> None:
    store, _ = stores
    async with jetstream_at(nats_url) as jetstream:
        await (await jetstream.key_value(SNAPSHOT_BUCKET)).put("1", b"not a session")
    await store.save(1, folded(1), position=at(2))
    assert await done(nats_url) == SHARD_SIZE


async def test_a_key_that_another_replica_has_written_since_is_not_removed(
    nats_url: str, stores: tuple[SnapshotStore, SnapshotStore]
) -> None:
    first, second = stores
    await first.save(1, folded(1), position=at(2))
    await second.save(1, folded(2), position=at(3))
    await first.forget_live(1)
    assert await done(nats_url) == 2 * SHARD_SIZE

    await second.forget_live(1)
    assert await done(nats_url) is None
    await first.save(1, folded(3), position=at(4))
    assert await done(nats_url) == 3 * SHARD_SIZE, "and it can be written again"


async def test_an_ended_session_is_found_by_every_replica_and_only_by_its_number(
    stores: tuple[SnapshotStore, SnapshotStore],
) -> None:
    first, second = stores
    await first.save_ended(1, folded(3), position=at(4))
    await second.save_ended(1, folded(2), position=at(3))
    found = await second.load_ended(1)
    assert found is not None
    assert found.state.phases["training"].counts().done == 3 * SHARD_SIZE
    assert await second.load_ended(2) is None
    assert await second.load() == ({}, Position()), "a start does not load it"


async def test_the_position_is_what_was_said_last(stores: tuple[SnapshotStore, SnapshotStore]) -> None:
    first, second = stores
    await first.save_position(at(5))
    await first.save_position(at(9))
    assert (await second.load())[1] == at(9)


async def test_a_reading_that_the_client_ends_before_it_began_is_no_empty_bucket(
    stores: tuple[SnapshotStore, SnapshotStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's answer that nothing is pending can overtake what it has sent, and the client believes it."""
    first, second = stores
    await first.save(1, folded(3), position=at(4))
    await first.save_position(at(4))
    read_all = KeyValue.watchall
    readings = []

    async def ends_at_once(bucket: KeyValue, **options: Any) -> Any:
        watcher = await read_all(bucket, **options)
        readings.append(watcher)
        if len(readings) <= 2:
            watcher._updates = asyncio.Queue()
            watcher._updates.put_nowait(None)
        return watcher

    monkeypatch.setattr(KeyValue, "watchall", ends_at_once)
    sessions, position = await second.load()
    assert (set(sessions), position) == ({1}, at(4))
    assert len(readings) == 3


async def test_a_bucket_whose_keys_were_all_deleted_is_empty(
    nats_url: str, stores: tuple[SnapshotStore, SnapshotStore]
) -> None:
    store, _ = stores
    await store.save(1, folded(3), position=at(4))
    async with jetstream_at(nats_url) as jetstream:
        await (await jetstream.key_value(SNAPSHOT_BUCKET)).delete("1")
    assert await store.load() == ({}, Position())
    await store.save(1, folded(4), position=at(5))
    assert await done(nats_url) == 4 * SHARD_SIZE
