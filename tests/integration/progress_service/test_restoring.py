"""A progress service that starts again knows what it knew, from its snapshots and from the stream."""

from tests.support.progress_events import counts
from tests.support.progress_process import Stack, shards, started, until_snapshot_covers, until_stream
from triptych_common.progress.events import SNAPSHOT_BUCKET, STREAM, StreamLimits, stream_config


async def test_a_killed_service_gives_the_same_answer_when_it_is_back(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started(), *shards(*range(20)), counts(20, 4))
    await service.until_done(204)
    await until_snapshot_covers(stack, 22)
    await stack.publish(counts(21, 7, failed=1), counts(20, 6))
    before = await service.until_done(213)
    service.kill()

    again = await stack.start()
    assert await again.get() == before
    assert (await again.until_logged("restored"))["sequence"] >= 22


async def test_without_snapshots_the_whole_stream_gives_the_same_answer(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started(), *shards(*range(20)))
    before = await service.until_done(200)
    service.kill()
    await (await stack.jetstream()).delete_key_value(SNAPSHOT_BUCKET)
    again = await stack.start()
    assert await again.get() == before


async def test_a_damaged_snapshot_costs_nothing_that_the_stream_or_others_hold(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started(), *shards(0), started(session_id=2, total=7))
    before = await service.until_done(10)
    await until_snapshot_covers(stack, 3)
    assert await service.stop() == 0
    bucket = await (await stack.jetstream()).key_value(SNAPSHOT_BUCKET)
    await bucket.put("1", b"not a snapshot")
    await bucket.put("stranger", b"not even a session")

    again = await stack.start()
    assert await again.get() == before
    assert (await again.get(2)).phases[0].total == 7
    assert {line["key"] for line in again.log_lines() if "snapshot left aside" in line["event"]} == {
        "1",
        "stranger",
    }


async def test_deleted_snapshots_are_written_again(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started())
    await until_snapshot_covers(stack, 1)
    bucket = await (await stack.jetstream()).key_value(SNAPSHOT_BUCKET)
    await bucket.delete("1")
    await stack.publish(*shards(0))
    await service.until_done(10)
    await until_snapshot_covers(stack, 2)
    assert (await bucket.get("1")).value


async def test_keeps_what_it_had_and_folds_on_when_nats_has_lost_its_store(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started(), *shards(*range(10)))
    await service.until_done(100)
    stack.nats.kill()
    stack.nats.wipe()
    await stack.nats.start()
    await until_stream(stack)
    await stack.publish(*shards(10))
    before = await service.until_done(110)
    await until_snapshot_covers(stack, 1)
    service.kill()

    again = await stack.start()
    assert await again.get() == before, "what only the old store held is in the new snapshots"


async def test_a_stream_made_anew_under_old_snapshots_is_folded_from_its_start(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started(), *shards(*range(10)))
    await service.until_done(100)
    await until_snapshot_covers(stack, 11)
    assert await service.stop() == 0
    jetstream = await stack.jetstream()
    await jetstream.delete_stream(STREAM)
    await jetstream.add_stream(stream_config(StreamLimits()))
    # More than before, so that sequences alone would not tell that the stream is another.
    await stack.publish(*shards(*range(10, 30)))

    again = await stack.start()
    assert (await again.get()).phases[0].done == 300
    await again.until_logged("the stream lost events: going on with what it has")


async def test_a_stop_in_order_writes_the_last_snapshots(stack: Stack) -> None:
    service = await stack.start(TRIPTYCH_SNAPSHOT_SECONDS="600")
    await stack.publish(started(), *shards(0))
    await service.until_done(10)
    assert await service.stop() == 0
    await until_snapshot_covers(stack, 2)
