"""Silence of a session at work: the aggregator tells it, expects nothing worse because of it, and takes it back."""

import time

import pytest

from tests.support.nats_server import NatsServer
from tests.support.progress_events import (
    CANCELLED,
    PAUSED,
    RUNNING,
    SHARD_SIZE,
    counts,
    jetstream_at,
    life,
    publish,
)
from tests.support.real_servers import eventually
from tests.support.running_aggregator import RunningAggregator, running_aggregator, until
from triptych.v1 import progress_event_pb2, progress_pb2
from triptych_common.progress.events import ENDED_BUCKET, SNAPSHOT_BUCKET
from triptych_progress import aggregator as aggregator_module
from triptych_progress import work_clock
from triptych_progress.aggregator import Aggregator

STALL_SECONDS = 1.0
TICK_SECONDS = 0.05
RECOVERY_SECONDS = 0.2
ITEMS = 100_000
ITEM_SECONDS = 0.001
"""So little that no stall can be taken for slow work."""
SILENT, OTHER = 1, 2
_JUST_MICROSECONDS = 10.0
"""More than what floating point leaves of a timestamp, and less than two events in the stream are apart."""


class Present:
    """The aggregators' present, which goes no further than a test lets it: no test is too slow for a session's silence.

    The stream's timestamps are real, so a stall that has been told was a real silence.
    """

    def __init__(self) -> None:
        self._last_microseconds = 0.0

    def lets_stall(self, progress: progress_pb2.SessionProgress) -> None:
        """Let it go on until the silence since this progress is just a stall."""
        self._last_microseconds = progress.updated_at.ToMicroseconds() + STALL_SECONDS * 1e6 + _JUST_MICROSECONDS

    def now_microseconds(self, _aggregator: Aggregator) -> float:
        """Now, for an aggregator."""
        return min(time.time() * 1e6, self._last_microseconds)


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> Present:
    """Silence is a stall soon, once a test lets it be."""
    held = Present()
    monkeypatch.setattr(Aggregator, "_now_microseconds", property(held.now_microseconds))
    monkeypatch.setattr(work_clock, "STALL_SECONDS", STALL_SECONDS)
    monkeypatch.setattr(work_clock, "_USUAL_GAPS", 0.0)
    monkeypatch.setattr(aggregator_module, "_TICK_SECONDS", TICK_SECONDS)
    monkeypatch.setattr(aggregator_module, "_RECOVERY_SECONDS", RECOVERY_SECONDS)
    return held


class Work:
    """A session at work, reported shard by shard as fast as the aggregator shows it."""

    def __init__(self, nats: NatsServer, running: RunningAggregator, session_id: int) -> None:
        self._nats = nats
        self._running = running
        self.session_id = session_id
        self.shards = 0

    async def begin(self) -> progress_pb2.SessionProgress:
        """Start at a pace that is known from a past run, and work a little."""
        started = life(session_id=self.session_id, total=ITEMS)
        started.lifecycle.evidence.history.add(items=ITEMS, seconds=ITEMS * ITEM_SECONDS)
        await publish(self._nats.url, started)
        await self.go_on()
        return await self.go_on()

    async def go_on(self) -> progress_pb2.SessionProgress:
        """Do one more shard, and wait until it is shown."""
        await publish(self._nats.url, counts(self.shards, session_id=self.session_id))
        self.shards += 1
        return await self._running.until_done(self.shards * SHARD_SIZE, self.session_id)


def is_stalled(progress: progress_pb2.SessionProgress) -> bool:
    return progress.phases[0].HasField("stalled_since")


def eta(progress: progress_pb2.SessionProgress) -> tuple[float, float, float]:
    """The phase's ETA and its range; 0 where there is none."""
    phase = progress.phases[0]
    assert phase.HasField("eta_seconds")
    return phase.eta_seconds, phase.eta_low_seconds, phase.eta_high_seconds


async def test_a_silent_session_is_told_as_stalled_with_its_eta_as_it_was_and_goes_on_without_a_trace(
    nats: NatsServer, present: Present
) -> None:
    async with running_aggregator(nats.url) as running:
        silent, other = Work(nats, running, SILENT), Work(nats, running, OTHER)
        await other.begin()
        at_work = await silent.begin()
        watch = running.watch(SILENT)
        assert await watch.next() == [at_work]
        await other.go_on()

        present.lets_stall(at_work)
        while not is_stalled(stalled := await running.get(SILENT)):
            assert stalled == at_work, "until the stall is told, nothing moves"
            if other.shards < ITEMS // SHARD_SIZE // 2:
                await other.go_on()
        assert await watch.until(is_stalled) == stalled, "who watches is told"
        assert stalled.phases[0].stalled_since == at_work.updated_at, "since when work was last seen"
        assert stalled.revision == round(at_work.revision + STALL_SECONDS * 1e6)
        assert (eta(stalled), stalled.percentage) == (eta(at_work), at_work.percentage)
        assert not is_stalled(await other.go_on()), "who works is not told to be stalled"

        again = await silent.go_on()
        assert not is_stalled(again)
        assert await watch.until(lambda one: not is_stalled(one)) == again
        assert eta(again)[0] < eta(at_work)[0], "the stall is no work, so the pace is what it was"
        watch.cancel()


async def test_a_stall_is_told_again_when_it_happens_again(nats: NatsServer, present: Present) -> None:
    async with running_aggregator(nats.url) as running:
        work = Work(nats, running, SILENT)
        again = await work.begin()
        for _ in range(2):
            present.lets_stall(again)
            stalled = await running.until(is_stalled)
            again = await work.go_on()
            assert not is_stalled(again)
            assert again.revision > stalled.revision


@pytest.mark.parametrize("state", [PAUSED, CANCELLED], ids=["paused", "cancelled"])
async def test_who_holds_or_ends_a_stalled_session_ends_the_stall(
    nats: NatsServer, present: Present, state: progress_event_pb2.RunState.ValueType
) -> None:
    async with running_aggregator(nats.url) as running:
        present.lets_stall(await Work(nats, running, SILENT).begin())
        await running.until(is_stalled)
        await publish(nats.url, life(state, total=ITEMS))
        assert not is_stalled(await running.until(lambda one: one.phases[0].state == state))

        await publish(nats.url, life(total=ITEMS))
        resumed = await running.until(lambda one: one.phases[0].state == RUNNING)
        assert not is_stalled(resumed), "the silence begins anew"
        present.lets_stall(resumed)
        stalled = await running.until(is_stalled)
        assert stalled.phases[0].stalled_since == resumed.updated_at


async def test_replicas_tell_the_same_stall_also_one_that_starts_during_it(nats: NatsServer, present: Present) -> None:
    async with running_aggregator(nats.url) as first, running_aggregator(nats.url) as second:
        present.lets_stall(await Work(nats, first, SILENT).begin())
        told = await first.until(is_stalled)
        assert await second.until(is_stalled) == told
        async with running_aggregator(nats.url) as late:
            assert await late.until(is_stalled) == told


async def test_while_nats_is_away_silence_says_nothing(nats: NatsServer, present: Present) -> None:
    async with running_aggregator(nats.url) as running:
        work = Work(nats, running, SILENT)
        at_work = await work.begin()
        nats.kill()
        await until(lambda: not running.nats.is_connected, "the aggregator has noticed")
        present.lets_stall(at_work)
        due = at_work.revision / 1e6 + STALL_SECONDS + 10 * TICK_SECONDS
        await until(lambda: time.time() > due, "it would be a stall")
        assert await running.get(SILENT) == at_work

        await nats.start()
        again = await work.go_on()
        assert not is_stalled(again)
        present.lets_stall(again)

        async def is_told() -> bool:
            return is_stalled(await running.get(SILENT))

        await eventually(is_told, "silence that can be heard is a stall again")


async def test_what_waited_in_the_stream_does_not_put_off_a_stall_or_count_as_lag(
    nats: NatsServer, present: Present
) -> None:
    async with running_aggregator(nats.url) as running:
        at_work = await Work(nats, running, SILENT).begin()
        assert running.lags
    newest = time.time()
    await until(lambda: time.time() > newest + STALL_SECONDS, "all that is in the stream is old")
    async with jetstream_at(nats.url) as jetstream:
        for bucket in (SNAPSHOT_BUCKET, ENDED_BUCKET):
            await jetstream.delete_key_value(bucket)

    async with running_aggregator(nats.url) as running:
        assert running.lags == [], "it lay there before anybody could fold it"
        present.lets_stall(at_work)
        stalled = await running.until(is_stalled)
        assert stalled.phases[0].stalled_since == at_work.updated_at
        await publish(nats.url, life(session_id=3))
        await running.until(lambda _: True, 3)
        assert len(running.lags) == 1
