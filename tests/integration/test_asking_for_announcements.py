"""An aggregator whose stream or snapshots lack something asks the gateways for it by itself, and folds their answer."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import nats as nats_client
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.support.nats_server import NatsServer
from tests.support.progress_events import (
    FAILED,
    SHARD_SIZE,
    counts,
    jetstream_at,
    life,
    publish,
    whole_session,
)
from tests.support.running_aggregator import RunningAggregator, running_aggregator, until
from triptych.v1 import progress_event_pb2, progress_pb2
from triptych_common.progress.events import (
    ENDED_BUCKET,
    REANNOUNCE_ACCEPTED,
    REANNOUNCE_SUBJECT,
    SNAPSHOT_BUCKET,
    STREAM,
    StreamLimits,
    stream_config,
    subject_of,
)
from triptych_progress import reannouncement as reannouncement_module

ASKING = "asking the gateways to announce every session again"


@dataclass(kw_only=True)
class ScriptedGateway:
    """Answers requests to announce everything again, and then announces what a test has given it."""

    client: Client
    knows: Sequence[progress_event_pb2.ProgressEvent] = ()
    answer: bytes = REANNOUNCE_ACCEPTED
    asked: int = 0

    async def on_request(self, message: Msg) -> None:
        """Answer, and announce."""
        self.asked += 1
        await message.respond(self.answer)
        for event in self.knows:
            subject = subject_of(event.session_id, event.phase)
            await self.client.jetstream().publish(subject, event.SerializeToString())


@contextlib.asynccontextmanager
async def scripted_gateway(
    nats: NatsServer, *knows: progress_event_pb2.ProgressEvent, answer: bytes = REANNOUNCE_ACCEPTED
) -> AsyncIterator[ScriptedGateway]:
    """A gateway that listens as long as the context lasts."""
    client = await nats_client.connect(nats.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
    try:
        gateway = ScriptedGateway(client=client, knows=knows, answer=answer)
        await client.subscribe(REANNOUNCE_SUBJECT, cb=gateway.on_request)
        await client.flush()
        yield gateway
    finally:
        await client.close()


@pytest.fixture(autouse=True)
def asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reannouncement_module, "_FIRST_RETRY_SECONDS", 0.05)


def reasons(logs: list[EventDict]) -> list[str]:
    """Why it was asked, each time."""
    return [line["why"] for line in logs if line["event"] == ASKING]


async def until_accepted(running: RunningAggregator, times: int = 1) -> None:
    """Wait until a gateway has accepted so many requests, or more."""
    await until(lambda: running.aggregator.reannouncement.accepted >= times, f"{times} requests are accepted")


def standing(progress: progress_pb2.SessionProgress) -> list[tuple[int, int, int, int, int]]:
    """What is said of each phase, without what depends on when it was heard of."""
    return [(one.run, one.state, one.done, one.failed, one.total) for one in progress.phases]


async def delete_buckets(nats: NatsServer, *buckets: str) -> None:
    async with jetstream_at(nats.url) as jetstream:
        for bucket in buckets:
            await jetstream.delete_key_value(bucket)


async def test_one_that_starts_with_nothing_asks_until_a_gateway_is_there(nats: NatsServer) -> None:
    with capture_logs() as logs:
        async with running_aggregator(nats.url) as running:
            refused = "no gateway announces yet"
            await until(lambda: sum(line["event"] == refused for line in logs) >= 2, "it asks more than once")
            async with scripted_gateway(nats, life(), counts(0)) as gateway:
                await running.until_done(SHARD_SIZE)
                await until_accepted(running)
                assert gateway.asked == 1, "once it is accepted, it is not asked for again"
    assert reasons(logs) == ["there are no snapshots"]


async def test_an_answer_that_does_not_accept_is_none(nats: NatsServer) -> None:
    async with running_aggregator(nats.url) as running:
        async with scripted_gateway(nats, answer=b"not now") as busy:
            await until(lambda: busy.asked >= 2, "it asks again")
            assert running.aggregator.reannouncement.accepted == 0
        async with scripted_gateway(nats, life()):
            await running.until(lambda _: True)
            await until_accepted(running)


async def test_one_that_lacks_nothing_does_not_ask(nats: NatsServer) -> None:
    async with scripted_gateway(nats, life()) as gateway:
        async with running_aggregator(nats.url) as running:
            await until_accepted(running)
            await running.until(lambda _: True)
        with capture_logs() as logs:
            async with running_aggregator(nats.url) as again:
                await publish(nats.url, counts(0))
                await again.until_done(SHARD_SIZE)
                nats.kill()
                await nats.start()
                await publish(nats.url, counts(1))
                await again.until_done(2 * SHARD_SIZE)
        assert reasons(logs) == []
        assert gateway.asked == 1


async def test_one_whose_nats_lost_its_store_asks_and_is_told_everything_again(nats: NatsServer) -> None:
    ended, at_work = list(whole_session(1)), [life(session_id=2), counts(0, session_id=2)]
    async with scripted_gateway(nats) as gateway:
        async with running_aggregator(nats.url, evict_after_seconds=0.0) as running:
            await until_accepted(running)
            await publish(nats.url, *ended, *at_work)
            before = [
                await running.until(lambda one: one.percentage == 100, 1),
                await running.until_done(SHARD_SIZE, 2),
            ]
            await running.until_in_memory(2)

            gateway.knows = [*ended, *at_work]
            with capture_logs() as logs:
                nats.kill()
                nats.wipe()
                await nats.start()
                await until_accepted(running, 2)
            assert "the stream lost events" in reasons(logs)
            assert await running.get(2) == before[1], "what is in memory is not less than before"
            again = await running.until(lambda one: one.percentage == 100, 1)
            assert standing(again) == standing(before[0])
        async with running_aggregator(nats.url) as later:
            assert standing(await later.get(1)) == standing(before[0])
            assert standing(await later.get(2)) == standing(before[1])


async def test_one_that_starts_without_its_snapshots_asks_and_is_told_what_the_stream_no_longer_holds(
    nats: NatsServer,
) -> None:
    async with running_aggregator(nats.url) as running:
        await publish(nats.url, life(), counts(0), counts(1))
        before = await running.until_done(2 * SHARD_SIZE)
    await delete_buckets(nats, SNAPSHOT_BUCKET, ENDED_BUCKET)
    async with jetstream_at(nats.url) as jetstream:
        await jetstream.purge_stream(STREAM)
    async with scripted_gateway(nats, life(), counts(0), counts(1)):
        with capture_logs() as logs:
            async with running_aggregator(nats.url) as again:
                await until_accepted(again)
                assert standing(await again.until_done(2 * SHARD_SIZE)) == standing(before)
        assert reasons(logs) == ["there are no snapshots"]


async def test_one_that_finds_its_stream_made_anew_asks(nats: NatsServer) -> None:
    async with running_aggregator(nats.url) as running:
        await publish(nats.url, life(), counts(0))
        await running.until_done(SHARD_SIZE)
    async with jetstream_at(nats.url) as jetstream:
        await jetstream.delete_stream(STREAM)
        await jetstream.add_stream(stream_config(StreamLimits()))
    async with scripted_gateway(nats, counts(1)):
        with capture_logs() as logs:
            async with running_aggregator(nats.url) as again:
                await until_accepted(again)
                await again.until_done(2 * SHARD_SIZE)
        assert reasons(logs) == ["the stream lost events"]


async def test_one_that_comes_too_late_for_what_the_stream_has_discarded_asks(nats: NatsServer) -> None:
    async with running_aggregator(nats.url) as running:
        await publish(nats.url, life(), counts(0))
        await running.until_done(SHARD_SIZE)
    missed = [counts(1), counts(2)]
    await publish(nats.url, *missed, counts(3))
    async with jetstream_at(nats.url) as jetstream:
        await jetstream.purge_stream(STREAM, keep=1)
    async with scripted_gateway(nats, *missed):
        with capture_logs() as logs:
            async with running_aggregator(nats.url) as again:
                await until_accepted(again)
                await again.until_done(4 * SHARD_SIZE)
        assert reasons(logs) == ["the stream has discarded events that were not folded"]


async def test_one_that_cannot_read_an_ended_session_asks_and_answers_it_again(nats: NatsServer) -> None:
    ended = list(whole_session(1))
    async with scripted_gateway(nats) as gateway:
        async with running_aggregator(nats.url, evict_after_seconds=0.0) as running:
            await until_accepted(running)
            await publish(nats.url, *ended)
            before = await running.until(lambda one: one.percentage == 100)
            await running.until_in_memory()
        async with jetstream_at(nats.url) as jetstream:
            await (await jetstream.key_value(ENDED_BUCKET)).put("1", b"not a session")
        gateway.knows = ended
        with capture_logs() as logs:
            async with running_aggregator(nats.url) as again:
                assert await again.list_progress(1) == [], "it does not guess"
                await until_accepted(again)
                assert standing(await again.until(lambda one: one.percentage == 100)) == standing(before)
        assert reasons(logs)[0] == "the snapshot of an ended session is unreadable"


async def test_an_ended_session_that_nobody_knows_is_asked_for_once(nats: NatsServer) -> None:
    async with scripted_gateway(nats):
        async with running_aggregator(nats.url, evict_after_seconds=0.0) as running:
            await until_accepted(running)
            await publish(nats.url, *whole_session(1))
            await running.until(lambda one: one.percentage == 100)
            await running.until_in_memory()
        async with jetstream_at(nats.url) as jetstream:
            await (await jetstream.key_value(ENDED_BUCKET)).put("1", b"not a session")
        with capture_logs() as logs:
            async with running_aggregator(nats.url) as again:
                for _ in range(3):
                    assert await again.list_progress(1) == []
        assert reasons(logs) == ["the snapshot of an ended session is unreadable"]


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "starting"])
async def test_one_whose_ended_sessions_were_lost_asks_and_answers_them_again(
    nats: NatsServer, is_running: bool
) -> None:
    ended = list(whole_session(1))
    async with scripted_gateway(nats) as gateway:
        async with running_aggregator(nats.url, evict_after_seconds=0.0) as running:
            await until_accepted(running)
            await publish(nats.url, *ended, life(session_id=2))
            before = await running.until(lambda one: one.percentage == 100)
            await running.until_in_memory(2)
            await running.until_saved()
            gateway.knows = ended
            if is_running:
                await delete_buckets(nats, ENDED_BUCKET, SNAPSHOT_BUCKET)
                await publish(nats.url, life(FAILED, session_id=2))
                await until_accepted(running, 2)
        if not is_running:
            await delete_buckets(nats, ENDED_BUCKET)
        async with running_aggregator(nats.url) as again:
            assert standing(await again.until(lambda one: one.percentage == 100)) == standing(before)
