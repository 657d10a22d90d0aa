"""Two progress services under load, one of which is killed again and again: in the end they say the same."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import grpc
import pytest_asyncio

from tests.support.nats_server import NatsServer
from tests.support.progress_events import COMPLETED, PAUSED, folded, jetstream_at, life, whole_session
from tests.support.real_servers import eventually
from tests.support.running_aggregator import until
from tests.support.running_progress import RunningProgress, running_progress
from triptych.v1 import progress_event_pb2, progress_pb2, progress_pb2_grpc, work_pb2
from triptych_common.progress.events import StreamLimits, stream_config, subject_of

SESSIONS = 100
AT_ONCE = 20
SHARDS = 18
KILLS = 2
SECONDS = 60.0
_DISORDER = 20
_LATE = 1000
_DUPLICATES = 0.1


@pytest_asyncio.fixture
async def nats(nats: NatsServer) -> NatsServer:
    """With the stream."""
    async with jetstream_at(nats.url) as jetstream:
        await jetstream.add_stream(stream_config(StreamLimits()))
    return nats


@dataclass(kw_only=True)
class Replica:
    """A progress service that can be killed, and what a reader who watches it has been told."""

    nats_url: str
    folder: Path
    told: dict[int, float] = field(default_factory=dict)
    """Greatest percentage of each session."""
    messages: int = 0
    went_back: list[str] = field(default_factory=list)
    _process: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _running: RunningProgress | None = None
    _watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and watch it."""
        context = running_progress(
            nats_url=self.nats_url, folder=self.folder, snapshot_seconds="1.0", evict_after_seconds="0.5"
        )
        self._running = await asyncio.to_thread(self._process.enter_context, context)
        self._watching = asyncio.create_task(self._watch(self._running.address))

    async def kill(self) -> None:
        """Kill it with SIGKILL, and wait until its watcher has noticed."""
        await asyncio.to_thread(self._process.close)
        if self._watching is not None:
            await self._watching

    async def list_progress(self, session_ids: Sequence[int]) -> dict[int, progress_pb2.SessionProgress]:
        """What it says of sessions."""
        assert self._running is not None
        request = progress_pb2.ListSessionProgressRequest(session_ids=session_ids)
        async with grpc.aio.insecure_channel(self._running.address) as channel:
            answer = await progress_pb2_grpc.ProgressStub(channel).ListSessionProgress(request, timeout=SECONDS)
        return {one.session_id: one for one in answer.progress}

    async def _watch(self, address: str) -> None:
        """Note what is told of all sessions, until the service is no more."""
        async with grpc.aio.insecure_channel(address) as channel:
            call = progress_pb2_grpc.ProgressStub(channel).WatchSessionProgress(
                progress_pb2.WatchSessionProgressRequest()
            )
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for message in call:
                    self.messages += 1
                    for one in (message.progress, *message.more):
                        before = self.told.get(one.session_id, 0.0)
                        if one.percentage < before:
                            self.went_back.append(f"session {one.session_id}: {before} → {one.percentage}")
                        self.told[one.session_id] = max(before, one.percentage)


def load(random: Random) -> list[progress_event_pb2.ProgressEvent]:
    """Sessions that begin one after the other, their events in disorder, some of them twice and then late."""
    placed = [
        (place, event) for session_id in range(1, SESSIONS + 1) for place, event in _placed_events(session_id, random)
    ]
    placed += [(place + random.uniform(0, _LATE), event) for place, event in placed if random.random() < _DUPLICATES]
    return [event for _, event in sorted(placed, key=lambda one: one[0])]


def _placed_events(session_id: int, random: Random) -> Iterator[tuple[float, progress_event_pb2.ProgressEvent]]:
    events = list(whole_session(session_id, shards=SHARDS))
    if session_id % 5 == 0:
        held = life(PAUSED, phase=work_pb2.PHASE_FACE_DETECTION, session_id=session_id, total=events[0].lifecycle.total)
        events = [*events[: 2 * len(events) // 3], held]
    begin = session_id * len(events) / AT_ONCE
    for number, event in enumerate(events):
        yield begin + number + random.uniform(0, _DISORDER), event


@dataclass(kw_only=True)
class Publisher:
    """Publishes a load, and holds it where a test wants it held."""

    nats_url: str
    events: list[progress_event_pb2.ProgressEvent]
    published: int = 0
    until: int = 0
    """How far it may go."""

    def is_beyond(self, place: int) -> bool:
        """Whether it has come so far."""
        return self.published > place

    async def run(self) -> None:
        """Publish it all; the stream has acknowledged each event before the next."""
        async with jetstream_at(self.nats_url) as jetstream:
            for event in self.events:
                if self.published == self.until:
                    await until(lambda: self.published < self.until, "it may go on")
                await jetstream.publish(subject_of(event.session_id, event.phase), event.SerializeToString())
                self.published += 1


async def test_a_replica_that_is_killed_under_load_says_in_the_end_what_the_other_says_and_what_a_plain_fold_gives(
    nats: NatsServer, tmp_path: Path
) -> None:
    events = load(Random(0))
    whole, killed = (Replica(nats_url=nats.url, folder=tmp_path) for _ in range(2))
    await asyncio.gather(whole.start(), killed.start())
    publisher = Publisher(nats_url=nats.url, events=events)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publisher.run())
            part = len(events) // (KILLS + 1)
            for number in range(KILLS):
                # It goes on while the replica is away and comes back, and is not over before that.
                publisher.until = int((number + 1.75) * part)
                killed.messages = 0
                await until(partial(publisher.is_beyond, int((number + 0.5) * part)), "the load is under way")
                await until(lambda: killed.messages > 0, "it tells of the load")
                await killed.kill()
                await killed.start()
            publisher.until = len(events)

        expected = await folded(nats.url)
        assert len(expected) == SESSIONS
        for replica in (whole, killed):
            await eventually(partial(_says, replica, expected), "it has come to what a plain fold gives")
            assert replica.went_back == []
            assert len(replica.told) > SESSIONS // 2, "its watcher was told"
        assert {one.percentage for one in expected.values() if one.session_id % 5} == {100.0}
        assert all(one.phases[2].state == COMPLETED for one in expected.values() if one.session_id % 5)
    finally:
        await asyncio.gather(whole.kill(), killed.kill())


async def _says(replica: Replica, expected: dict[int, progress_pb2.SessionProgress]) -> bool:
    return await replica.list_progress(list(expected)) == expected
