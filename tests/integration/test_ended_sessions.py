"""Sessions that are over: put away from memory, answered all the same, watched to their end, and not brought back."""

import time

import grpc
import pytest

from tests.support.nats_server import NatsServer
from tests.support.progress_events import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SHARD_SIZE,
    WEIGHTS,
    counts,
    folded,
    jetstream_at,
    life,
    publish,
    whole_session,
)
from tests.support.real_servers import eventually
from tests.support.running_aggregator import NEVER_SECONDS, RunningAggregator, running_aggregator, until
from triptych.v1 import progress_event_pb2, progress_pb2
from triptych_common.progress.events import ENDED_BUCKET, SNAPSHOT_BUCKET
from triptych_common.rpc.status import read_error
from triptych_progress import aggregator as aggregator_module
from triptych_progress import sessions as sessions_module
from triptych_progress.service import MOST_AT_ONCE, MOST_NAMED

EVICT_AT_ONCE = 0.0
EVICT_AFTER_SECONDS = 0.7


@pytest.fixture
def nothing_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer about a session that was put away comes out of the key-value store."""
    monkeypatch.setattr(sessions_module, "_READ_AGAIN", 0)


async def keys(nats_url: str, bucket: str) -> set[str]:
    """What a bucket holds besides the position."""
    async with jetstream_at(nats_url) as jetstream:
        state = (await jetstream.stream_info(f"KV_{bucket}", subjects_filter=">")).state
        return {subject.rpartition(".")[2] for subject in state.subjects or ()} - {"position"}


def failed_session(session_id: int) -> list[progress_event_pb2.ProgressEvent]:
    """One that failed in training, with one shard begun and one done."""
    return [
        *(life(PENDING, phase=phase, session_id=session_id) for phase in WEIGHTS),
        life(session_id=session_id),
        counts(0, session_id=session_id),
        counts(1, 3, session_id=session_id),
        life(FAILED, session_id=session_id),
    ]


async def refusal(running: RunningAggregator, session_id: int) -> tuple[grpc.StatusCode, str]:
    """Status and reason with which a session's progress is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await running.get(session_id)
    return raised.value.code(), read_error(raised.value).reason


def states(progress: progress_pb2.SessionProgress) -> list[int]:
    return [phase.state for phase in progress.phases]


async def test_a_session_that_ended_leaves_memory_after_its_time_and_is_answered_as_before(
    nats: NatsServer, nothing_is_read_twice: None
) -> None:
    async with running_aggregator(nats.url, evict_after_seconds=EVICT_AFTER_SECONDS) as running:
        await publish(nats.url, *whole_session(1), *failed_session(2), life(session_id=3))
        before = [await running.until(lambda one: one.percentage == 100, 1)]
        before += [await running.until(lambda one: FAILED in states(one), 2)]

        await running.until_in_memory(3)
        assert time.time() - before[1].updated_at.ToMicroseconds() / 1e6 > EVICT_AFTER_SECONDS, "not before its time"

        assert [await running.get(1), await running.get(2)] == before
        assert [one.session_id for one in await running.list_progress()] == [3]
        assert [*await running.list_progress(1, 2)] == before, "where it is named, it is listed"
        assert running.in_memory == [3], "answering does not bring it back"
        assert await keys(nats.url, ENDED_BUCKET) == {"1", "2"}


@pytest.mark.parametrize(
    ("named", "last"),
    [
        ("completed", [COMPLETED] * 3),
        ("failed", [COMPLETED, FAILED, PENDING]),
        ("cancelled", [COMPLETED, CANCELLED, CANCELLED]),
    ],
)
async def test_whatever_way_a_session_ended_it_is_put_away(
    nats: NatsServer, named: str, last: list[progress_event_pb2.RunState.ValueType]
) -> None:
    async with running_aggregator(nats.url, evict_after_seconds=EVICT_AT_ONCE) as running:
        lives = [life(state, phase=phase) for phase, state in zip(WEIGHTS, last, strict=True)]
        await publish(nats.url, *lives)
        await until(lambda: running.aggregator.statistics.folded.total() == 3, f"the {named} session is folded")
        await running.until_in_memory()
        assert states(await running.get()) == last


async def test_a_session_that_is_paused_or_waits_for_its_next_phase_stays_in_memory(nats: NatsServer) -> None:
    async with running_aggregator(nats.url, evict_after_seconds=EVICT_AT_ONCE) as running:
        await publish(nats.url, life(PAUSED, session_id=1), life(COMPLETED, session_id=2), life(session_id=3))
        await publish(nats.url, *whole_session(4))
        await running.until(lambda one: one.percentage == 100, 4)
        # The one that is over goes, so the others were looked at too.
        await running.until_in_memory(1, 2, 3)


async def test_late_events_of_a_session_that_was_put_away_change_nothing(
    nats: NatsServer, nothing_is_read_twice: None
) -> None:
    sent = list(whole_session(1))
    begun_long_ago = life(RUNNING)
    begun_long_ago.lifecycle.epoch = 0
    late = [*reversed(sent), counts(0, 2), begun_long_ago]
    async with running_aggregator(nats.url, evict_after_seconds=EVICT_AT_ONCE) as running:
        await publish(nats.url, *sent)
        before = await running.until(lambda one: one.percentage == 100)
        await running.until_in_memory()

        await publish(nats.url, *late)
        statistics = running.aggregator.statistics
        await until(lambda: statistics.folded.total() == len(sent) + len(late), "the late events are folded")
        await running.aggregator.sessions.settled()

        assert running.in_memory == []
        assert await running.get() == before


async def test_what_a_late_event_adds_to_a_session_that_was_put_away_is_kept_and_put_away_again(
    nats: NatsServer, nothing_is_read_twice: None
) -> None:
    async with running_aggregator(nats.url, evict_after_seconds=EVICT_AT_ONCE) as running:
        await publish(nats.url, *failed_session(1))
        before = await running.until(lambda one: FAILED in states(one))
        await running.until_in_memory()

        with_more = [counts(1, 5), counts(2, 4), counts(1, 2)]
        percentages = [before.percentage]
        for event in with_more:
            await publish(nats.url, event)
            percentages.append((await running.get()).percentage)
        after = await running.until_done(before.phases[0].done + 2 + 4)
        percentages.append(after.percentage)
        assert percentages == sorted(percentages)
        assert after.percentage > before.percentage
        assert after.revision > before.revision
        assert states(after) == states(before), "it is still over"

        await running.until_in_memory()
        assert await running.get() == after
    async with running_aggregator(nats.url) as again:
        assert again.in_memory == []
        assert await again.get() == after == (await folded(nats.url))[1]


async def test_a_session_that_was_put_away_begins_again_with_a_new_run(nats: NatsServer) -> None:
    async with running_aggregator(nats.url, evict_after_seconds=EVICT_AT_ONCE) as running:
        await publish(nats.url, *failed_session(1))
        before = await running.until(lambda one: FAILED in states(one))
        await running.until_in_memory()

        await publish(nats.url, life(run=2), counts(0, run=2))
        again = await running.until(lambda one: one.phases[0].run == 2 and one.phases[0].done == SHARD_SIZE)
        assert states(again) == [RUNNING, PENDING, PENDING]
        assert again.revision > before.revision
        assert running.in_memory == [1]
        assert await running.list_progress() == [again]
        await running.until_saved()
        assert await keys(nats.url, SNAPSHOT_BUCKET) == {"1"}, "and a start loads it again"


async def test_what_the_store_keeps_for_a_start_is_only_what_is_in_memory(nats: NatsServer) -> None:
    async with running_aggregator(nats.url, evict_after_seconds=EVICT_AT_ONCE) as running:
        for session_id in range(1, 6):
            await publish(nats.url, *whole_session(session_id))
        await publish(nats.url, life(session_id=6))
        await running.until(lambda _: True, 6)
        await running.until_in_memory(6)
        await running.until_saved()

        async def are_moved() -> bool:
            return await keys(nats.url, SNAPSHOT_BUCKET) == {"6"}

        await eventually(are_moved, "ended sessions left the bucket that a start loads")
        assert await keys(nats.url, ENDED_BUCKET) == {"1", "2", "3", "4", "5"}


@pytest.mark.parametrize("saves_at_the_end", [True, False], ids=["stopped", "killed"])
async def test_after_a_start_ended_sessions_are_not_in_memory_but_answered(
    nats: NatsServer, saves_at_the_end: bool
) -> None:
    completed = list(whole_session(1))
    async with running_aggregator(
        nats.url, evict_after_seconds=EVICT_AT_ONCE, saves_at_the_end=saves_at_the_end
    ) as running:
        await publish(nats.url, *completed, *failed_session(2), *failed_session(3), life(session_id=4))
        await running.until(lambda _: True, 4)
        await running.until_in_memory(4)
        before = await running.list_progress(1, 2, 3, 4)
        # What comes after the last snapshot is folded again by the next process.
        await publish(nats.url, counts(0, session_id=4), *completed)
        await running.until_done(SHARD_SIZE, 4)

    async with running_aggregator(nats.url) as again:
        assert again.in_memory == [4]
        assert [*await again.list_progress(1, 2, 3)] == [*before[:3]]
        assert await again.get(1) == before[0]
        assert again.in_memory == [4]
        assert (await again.get(4)).phases[0].done == SHARD_SIZE


async def test_two_replicas_that_put_the_same_session_away_both_answer_it(nats: NatsServer) -> None:
    async with (
        running_aggregator(nats.url, evict_after_seconds=EVICT_AT_ONCE) as first,
        running_aggregator(nats.url, evict_after_seconds=EVICT_AT_ONCE) as second,
    ):
        await publish(nats.url, *whole_session(1), *failed_session(2))
        for running in (first, second):
            await running.until(lambda one: FAILED in states(one), 2)
            await running.until_in_memory()
        await publish(nats.url, counts(3, 1, session_id=2))
        for running in (first, second):
            await running.until_done(SHARD_SIZE + 3 + 1, 2)
            await running.until_in_memory()
        expected = await folded(nats.url)
        for running in (first, second):
            assert {one.session_id: one for one in await running.list_progress(1, 2)} == expected


async def test_a_session_that_was_put_away_cannot_be_asked_for_while_nats_is_away_and_that_is_said(
    nats: NatsServer, nothing_is_read_twice: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregator_module, "_REQUEST_SECONDS", 0.3)
    async with running_aggregator(nats.url, evict_after_seconds=EVICT_AT_ONCE) as running:
        await publish(nats.url, *whole_session(1), life(session_id=2))
        await running.until_in_memory(2)
        before = await running.get(1)
        nats.kill()
        assert await refusal(running, 1) == (grpc.StatusCode.UNAVAILABLE, "NATS_AWAY")
        assert states(await running.get(2))[0] == RUNNING, "what is in memory is answered"
        await nats.start()

        async def is_back() -> bool:
            try:
                return await running.get(1) == before
            except grpc.aio.AioRpcError:
                return False

        await eventually(is_back, "it is answered again")


@pytest.mark.parametrize("is_put_away", [False, True], ids=["in memory", "put away"])
async def test_a_watch_of_an_ended_session_gives_its_state_and_ends(nats: NatsServer, is_put_away: bool) -> None:
    evict_after_seconds = EVICT_AT_ONCE if is_put_away else NEVER_SECONDS
    async with running_aggregator(nats.url, evict_after_seconds=evict_after_seconds) as running:
        await publish(nats.url, *whole_session(1), *failed_session(2))
        await running.until(lambda one: FAILED in states(one), 2)
        if is_put_away:
            await running.until_in_memory()
        for session_id in (1, 2):
            watch = running.watch(session_id)
            assert await watch.next() == [await running.get(session_id)]
            assert await watch.next() is None
        both = running.watch(1, 2)
        told = [state for message in [await both.next(), await both.next()] for state in message or ()]
        assert sorted(state.session_id for state in told) == [1, 2]


async def test_a_watch_ends_with_the_last_state_of_the_last_session_it_names(nats: NatsServer) -> None:
    async with running_aggregator(nats.url) as running:
        await publish(nats.url, *failed_session(1), life(session_id=2))
        await running.until(lambda _: True, 2)
        watch = running.watch(1, 2)
        told = {state.session_id: state for state in await watch.next() or ()}
        assert told.keys() == {1, 2}

        await publish(nats.url, life(CANCELLED, session_id=2))
        while (message := await watch.next()) is not None:
            told |= {state.session_id: state for state in message}
        assert states(told[2])[0] == CANCELLED
        assert told[2] == await running.get(2)


async def test_a_watch_of_a_session_that_nobody_knows_is_not_found(nats: NatsServer) -> None:
    async with running_aggregator(nats.url) as running:
        await publish(nats.url, life())
        await running.until(lambda _: True)
        for unknown in ([404], [404, 405]):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await running.watch(*unknown).next()
            assert raised.value.code() is grpc.StatusCode.NOT_FOUND
            assert read_error(raised.value).reason == "UNKNOWN_SESSION"
        known_too = running.watch(404, 1)
        assert await known_too.next() == [await running.get(1)]
        known_too.cancel()


async def test_what_a_reader_has_seen_is_not_told_again(nats: NatsServer) -> None:
    async with running_aggregator(nats.url) as running:
        await publish(nats.url, life())
        seen = await running.until(lambda _: True)
        behind, abreast = (
            running.watch(1, after_revision=seen.revision - 1),
            running.watch(1, after_revision=seen.revision),
        )
        assert await behind.next() == [seen]
        await abreast.has_begun()
        # As where a watch begins between a change and the round in which watchers are told of it.
        running.aggregator.watchers.on_change(1)
        assert await behind.next() == [seen]

        await publish(nats.url, counts(0))
        [changed] = await abreast.next() or []
        assert (changed.phases[0].done, changed.revision > seen.revision) == (SHARD_SIZE, True)

        await publish(nats.url, life(CANCELLED))
        ended = await abreast.until(lambda one: states(one)[0] == CANCELLED)
        assert await abreast.next() is None
        assert await running.watch(1, after_revision=ended.revision).next() is None, "nothing is left to tell"
        [told] = await running.watch(1, after_revision=ended.revision - 1).next() or []
        assert told == ended


async def test_a_watch_of_all_tells_many_sessions_in_one_message(nats: NatsServer) -> None:
    sessions = range(1, 2 * MOST_AT_ONCE + 10)
    async with running_aggregator(nats.url) as running:
        await publish(nats.url, *(life(session_id=session_id) for session_id in sessions))
        await running.until(lambda _: True, sessions[-1])
        watch = running.watch()
        told: dict[int, progress_pb2.SessionProgress] = {}
        sizes = []
        while len(told) < len(sessions):
            message = await watch.next() or []
            sizes.append(len(message))
            told |= {state.session_id: state for state in message}
        watch.cancel()
        assert sizes[0] == max(sizes) == MOST_AT_ONCE
        assert [told[session_id] for session_id in sessions] == [*await running.list_progress()]


async def test_more_sessions_than_may_be_named_are_refused(nats: NatsServer) -> None:
    many = range(1, MOST_NAMED + 2)
    async with running_aggregator(nats.url) as running:
        assert await running.list_progress(*many[:-1]) == []
        for call in (running.list_progress(*many), running.watch(*many).next()):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert read_error(raised.value).reason == "TOO_MANY_SESSIONS"
