"""What the progress service answers and tells watchers, of the events that were published."""

import grpc
import pytest

from tests.support.progress_events import COMPLETED, RUNNING, counts
from tests.support.progress_process import PHASES, Stack, shards, started
from triptych.v1 import progress_event_pb2, progress_pb2
from triptych_common.progress.events import STREAM, StreamLimits, stream_config, subject_of
from triptych_common.rpc.status import read_error


async def test_answers_from_the_events_that_were_published(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started(total=20), counts(0, 8, failed=2), counts(1, 5))
    progress = await service.until_done(13)
    training = progress.phases[0]
    assert (training.failed, training.total, training.run, training.state) == (2, 20, 1, RUNNING)
    assert [phase.phase for phase in progress.phases] == list(PHASES)
    assert progress.percentage == pytest.approx(0.3 * 75)

    await stack.publish(*(started(COMPLETED, phase=phase, total=20) for phase in PHASES))
    progress = await service.until(lambda one: one.percentage == 100)
    assert [phase.done for phase in progress.phases] == [18, 20, 20]


async def test_an_unknown_session_is_not_found_and_left_out_of_lists(stack: Stack) -> None:
    service = await stack.start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.get(404)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert read_error(raised.value).reason == "UNKNOWN_SESSION"

    await stack.publish(started(session_id=2), started(session_id=1))
    await service.until(lambda _: True, 1)
    assert [one.session_id for one in await service.list_progress()] == [1, 2]
    assert [one.session_id for one in await service.list_progress(2, 404)] == [2]


async def test_a_watcher_gets_the_whole_state_and_then_each_change(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started(), *shards(0, 1))
    await service.until_done(20)
    call = service.stub.WatchSessionProgress(progress_pb2.WatchSessionProgressRequest(session_ids=[1]), timeout=30)
    first = await call.read()
    assert isinstance(first, progress_pb2.WatchSessionProgressResponse)
    assert first.progress == await service.get()

    await stack.publish(started(session_id=2), *shards(2))
    second = await call.read()
    assert isinstance(second, progress_pb2.WatchSessionProgressResponse)
    assert (second.progress.session_id, second.progress.phases[0].done) == (1, 30)
    assert second.progress.revision > first.progress.revision


async def test_a_watcher_of_all_sessions_also_gets_those_to_come(stack: Stack) -> None:
    service = await stack.start()
    call = service.stub.WatchSessionProgress(progress_pb2.WatchSessionProgressRequest(), timeout=30)
    await call.initial_metadata()
    await stack.publish(started(session_id=7))
    message = await call.read()
    assert isinstance(message, progress_pb2.WatchSessionProgressResponse)
    assert message.progress.session_id == 7


async def test_watchers_end_with_unavailable_when_the_service_stops(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started())
    await service.until(lambda _: True)
    call = service.stub.WatchSessionProgress(progress_pb2.WatchSessionProgressRequest(), timeout=30)
    await call.read()
    assert await service.stop() == 0
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert read_error(raised.value).reason == "STOPPING"


async def test_two_replicas_give_the_same_answer(stack: Stack) -> None:
    first, second = await stack.start(), await stack.start()
    await stack.publish(started(), *shards(*range(30)), counts(30, 3), started(session_id=2))
    await first.until(lambda _: True, 2)
    await second.until(lambda _: True, 2)
    assert await first.list_progress() == await second.list_progress()
    late = await stack.start()
    assert await late.list_progress() == await first.list_progress()


async def test_bad_events_are_dropped_counted_and_logged_and_later_ones_are_folded(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started(), *shards(0))
    before = await service.until_done(10)
    jetstream = await stack.jetstream()
    await jetstream.publish("progress.v1.1.training", b"\xff\xffgarbage")
    await jetstream.publish("progress.v1.1.training", b"")
    await stack.publish(
        counts(1, 9, failed=2),
        counts(99999999, 1),
        counts(1, 1, total=0),
        started(progress_event_pb2.RUN_STATE_UNSPECIFIED),
    )
    await stack.publish(started(session_id=2))
    await service.until(lambda _: True, 2)
    assert await service.get() == before
    dropped = [line for line in service.log_lines() if line["event"] == "report dropped"]
    assert [line["dropped"] for line in dropped] == [1, 2, 3, 4, 5, 6]
    assert [line["sequence"] for line in dropped] == [3, 4, 5, 6, 7, 8]
    assert all(line["error"] for line in dropped)


async def test_thousands_of_events_are_folded_before_it_serves(stack: Stack) -> None:
    jetstream = await stack.jetstream()
    await jetstream.add_stream(stream_config(StreamLimits()))
    events = [started(total=100_000), *shards(*range(10_000))]
    for event in events:
        await jetstream.publish_async(subject_of(1, event.phase), event.SerializeToString())
    await jetstream.publish_async_completed()
    assert (await jetstream.stream_info(STREAM)).state.messages == len(events)
    service = await stack.start()
    assert (await service.get()).phases[0].done == 100_000
