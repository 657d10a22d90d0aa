"""The progress service as a real process, over real gRPC, with a real NATS server."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import nats
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.progress_events import COMPLETED, RUNNING, counts, life
from triptych.v1 import progress_event_pb2, progress_pb2, progress_pb2_grpc, work_pb2
from triptych_common.errors import EXIT_BAD_CONFIGURATION
from triptych_common.progress.events import SNAPSHOT_BUCKET, STREAM, StreamLimits, stream_config, subject_of
from triptych_common.rpc.status import read_error

_DEADLINE_SECONDS = 60
_STOP_SECONDS = 3.0
_PHASES = (work_pb2.PHASE_TRAINING, work_pb2.PHASE_FACE_DETECTION, work_pb2.PHASE_CLUSTERING)
_life = partial(life, total=1000)


@dataclass(kw_only=True)
class Service:
    """A running progress service."""

    process: subprocess.Popen[bytes]
    channel: grpc.aio.Channel
    log: Path

    @property
    def stub(self) -> "progress_pb2_grpc.ProgressAsyncStub":
        """Its procedures."""
        stub: Any = progress_pb2_grpc.ProgressStub(self.channel)
        return stub  # type: ignore[no-any-return]

    async def get(self, session_id: int = 1) -> progress_pb2.SessionProgress:
        """The progress of a session."""
        request = progress_pb2.GetSessionProgressRequest(session_id=session_id)
        answer: progress_pb2.GetSessionProgressResponse = await self.stub.GetSessionProgress(request, timeout=10)
        return answer.progress

    async def list_progress(self, *session_ids: int) -> Sequence[progress_pb2.SessionProgress]:
        """The progress of several sessions, or of all."""
        request = progress_pb2.ListSessionProgressRequest(session_ids=session_ids)
        answer: progress_pb2.ListSessionProgressResponse = await self.stub.ListSessionProgress(request, timeout=10)
        return answer.progress

    async def until(
        self, is_reached: Callable[[progress_pb2.SessionProgress], bool], session_id: int = 1
    ) -> progress_pb2.SessionProgress:
        """Wait until the progress of a session is as it should be."""
        newest = None
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                while True:
                    newest = await _get_or_none(self, session_id)
                    if newest is not None and is_reached(newest):
                        return newest
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"still {newest}\n{self.log.read_text()}") from None

    async def until_done(self, done: int, *, phase: int = 0, session_id: int = 1) -> progress_pb2.SessionProgress:
        """Wait until so many items of a phase are done."""
        return await self.until(lambda progress: progress.phases[phase].done == done, session_id)

    async def until_logged(self, event: str) -> dict[str, Any]:
        """Wait for a line of its log."""
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while True:
                for line in self.log_lines():
                    if line["event"] == event:
                        return line
                await asyncio.sleep(0.02)

    def log_lines(self) -> list[dict[str, Any]]:
        """Its log so far; the last line may not be whole yet."""
        return [json.loads(line) for line in self.log.read_text().split("\n")[:-1] if line.startswith("{")]

    async def until_serving(self) -> None:
        """Wait until the health check says SERVING."""
        request = health_pb2.HealthCheckRequest(service="triptych.v1.Progress")
        async with asyncio.timeout(_DEADLINE_SECONDS):
            answers = health_pb2_grpc.HealthStub(self.channel).Watch(request, wait_for_ready=True)
            async for answer in answers:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    answers.cancel()
                    return

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        """End it with SIGTERM; its exit status. Fails where it takes too long."""
        self.process.terminate()
        began = time.monotonic()
        status = await asyncio.to_thread(self.process.wait, _DEADLINE_SECONDS)
        assert time.monotonic() - began < _STOP_SECONDS, self.log.read_text()
        return status


async def _get_or_none(service: Service, session_id: int) -> progress_pb2.SessionProgress | None:
    try:
        return await service.get(session_id)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return None


@dataclass(kw_only=True)
class Stack:
    """What the tests of this file talk to."""

    nats: NatsServer
    folder: Path
    services: list[Service] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    async def start(self, *, until_serving: bool = True, **settings: str) -> Service:
        """Start the service's console script."""
        service = self._launch(settings)
        self.services.append(service)
        if until_serving:
            await service.until_serving()
        return service

    def _launch(self, settings: dict[str, str]) -> Service:
        address = f"127.0.0.1:{free_port()}"
        log = self.folder / f"progress-{len(self.services)}.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TRIPTYCH_")}
        environment |= {
            "NATS_URL": self.nats.url,
            "TRIPTYCH_LISTEN": address,
            "TRIPTYCH_SNAPSHOT_SECONDS": "0.1",
            # Whatever the process leaves behind shows in its log.
            "PYTHONWARNINGS": "default::ResourceWarning",
            **settings,
        }
        with log.open("wb") as output:
            script = str(Path(sys.executable).with_name("triptych-progress"))
            process = subprocess.Popen([script], env=environment, stderr=output)
        options = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.use_local_subchannel_pool", 1)]
        return Service(process=process, channel=grpc.aio.insecure_channel(address, options=options), log=log)

    async def jetstream(self) -> JetStreamContext:
        """A connection of the test's own to NATS as it runs now."""
        client = await nats.connect(self.nats.url, allow_reconnect=False)
        self.clients.append(client)
        return client.jetstream(timeout=5)

    async def publish(self, *events: progress_event_pb2.ProgressEvent) -> None:
        """Publish events; each is acknowledged by the stream."""
        jetstream = await self.jetstream()
        for event in events:
            await jetstream.publish(subject_of(event.session_id, event.phase), event.SerializeToString())


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    running = Stack(nats=NatsServer(folder=tmp_path), folder=tmp_path)
    await running.nats.start()
    try:
        yield running
        for service in running.services:
            trouble = [
                word for word in ("Traceback", "ResourceWarning", "never retrieved") if word in service.log.read_text()
            ]
            assert not trouble, service.log.read_text()
    finally:
        for client in running.clients:
            await client.close()
        for service in running.services:
            await service.channel.close()
            service.kill()
        running.nats.kill()


def _shards(*ordinals: int) -> list[progress_event_pb2.ProgressEvent]:
    return [counts(ordinal) for ordinal in ordinals]


async def test_answers_from_the_events_that_were_published(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life(total=20), counts(0, 8, failed=2), counts(1, 5))
    progress = await service.until_done(13)
    training = progress.phases[0]
    assert (training.failed, training.total, training.run, training.state) == (2, 20, 1, RUNNING)
    assert [phase.phase for phase in progress.phases] == list(_PHASES)
    assert progress.percentage == pytest.approx(0.3 * 75)

    await stack.publish(*(_life(COMPLETED, phase=phase, total=20) for phase in _PHASES))
    progress = await service.until(lambda one: one.percentage == 100)
    assert [phase.done for phase in progress.phases] == [18, 20, 20]


async def test_an_unknown_session_is_not_found_and_left_out_of_lists(stack: Stack) -> None:
    service = await stack.start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.get(404)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert read_error(raised.value).reason == "UNKNOWN_SESSION"

    await stack.publish(_life(session_id=2), _life(session_id=1))
    await service.until(lambda _: True, 1)
    assert [one.session_id for one in await service.list_progress()] == [1, 2]
    assert [one.session_id for one in await service.list_progress(2, 404)] == [2]


async def test_a_watcher_gets_the_whole_state_and_then_each_change(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life(), *_shards(0, 1))
    await service.until_done(20)
    call = service.stub.WatchSessionProgress(progress_pb2.WatchSessionProgressRequest(session_ids=[1]), timeout=30)
    first = await call.read()
    assert isinstance(first, progress_pb2.WatchSessionProgressResponse)
    assert first.progress == await service.get()

    await stack.publish(_life(session_id=2), *_shards(2))
    second = await call.read()
    assert isinstance(second, progress_pb2.WatchSessionProgressResponse)
    assert (second.progress.session_id, second.progress.phases[0].done) == (1, 30)
    assert second.progress.revision > first.progress.revision


async def test_a_watcher_of_all_sessions_also_gets_those_to_come(stack: Stack) -> None:
    service = await stack.start()
    call = service.stub.WatchSessionProgress(progress_pb2.WatchSessionProgressRequest(), timeout=30)
    await call.initial_metadata()
    await stack.publish(_life(session_id=7))
    message = await call.read()
    assert isinstance(message, progress_pb2.WatchSessionProgressResponse)
    assert message.progress.session_id == 7


async def test_watchers_end_with_unavailable_when_the_service_stops(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life())
    await service.until(lambda _: True)
    call = service.stub.WatchSessionProgress(progress_pb2.WatchSessionProgressRequest(), timeout=30)
    await call.read()
    assert await service.stop() == 0
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert read_error(raised.value).reason == "STOPPING"


async def test_a_killed_service_gives_the_same_answer_when_it_is_back(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life(), *_shards(*range(20)), counts(20, 4))
    await service.until_done(204)
    await _until_snapshot_covers(stack, 22)
    await stack.publish(counts(21, 7, failed=1), counts(20, 6))
    before = await service.until_done(213)
    service.kill()

    again = await stack.start()
    assert await again.get() == before
    assert (await again.until_logged("restored"))["sequence"] >= 22


async def test_without_snapshots_the_whole_stream_gives_the_same_answer(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life(), *_shards(*range(20)))
    before = await service.until_done(200)
    service.kill()
    await (await stack.jetstream()).delete_key_value(SNAPSHOT_BUCKET)
    again = await stack.start()
    assert await again.get() == before


async def test_a_damaged_snapshot_costs_nothing_that_the_stream_or_others_hold(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life(), *_shards(0), _life(session_id=2, total=7))
    before = await service.until_done(10)
    await _until_snapshot_covers(stack, 3)
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
    await stack.publish(_life())
    await _until_snapshot_covers(stack, 1)
    bucket = await (await stack.jetstream()).key_value(SNAPSHOT_BUCKET)
    await bucket.delete("1")
    await stack.publish(*_shards(0))
    await service.until_done(10)
    await _until_snapshot_covers(stack, 2)
    assert (await bucket.get("1")).value


async def test_two_replicas_give_the_same_answer(stack: Stack) -> None:
    first, second = await stack.start(), await stack.start()
    await stack.publish(_life(), *_shards(*range(30)), counts(30, 3), _life(session_id=2))
    await first.until(lambda _: True, 2)
    await second.until(lambda _: True, 2)
    assert await first.list_progress() == await second.list_progress()
    late = await stack.start()
    assert await late.list_progress() == await first.list_progress()


async def test_goes_on_by_itself_after_nats_was_killed_and_loses_nothing_acknowledged(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life(), *_shards(*range(10)))
    await service.until_done(100)
    call = service.stub.WatchSessionProgress(progress_pb2.WatchSessionProgressRequest(session_ids=[1]))
    await call.read()
    # Some of these are acknowledged, but perhaps not delivered, when the server dies.
    await stack.publish(*_shards(*range(10, 40)))
    stack.nats.kill()
    assert (await service.get()).phases[0].done >= 100, "it answers while NATS is away"
    await stack.nats.start()
    await service.until_done(400)
    await stack.publish(*_shards(40))
    await service.until_done(410)
    done = 0
    while done < 410:
        message = await call.read()
        assert isinstance(message, progress_pb2.WatchSessionProgressResponse)
        assert message.progress.phases[0].done >= done
        done = message.progress.phases[0].done
    call.cancel()


async def test_goes_on_after_nats_was_restarted_in_order(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life())
    stack.nats.stop()
    await stack.nats.start()
    await stack.publish(*_shards(0))
    await service.until_done(10)


async def test_keeps_what_it_had_and_folds_on_when_nats_has_lost_its_store(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life(), *_shards(*range(10)))
    await service.until_done(100)
    stack.nats.kill()
    stack.nats.wipe()
    await stack.nats.start()
    await _until_stream(stack)
    await stack.publish(*_shards(10))
    before = await service.until_done(110)
    await _until_snapshot_covers(stack, 1)
    service.kill()

    again = await stack.start()
    assert await again.get() == before, "what only the old store held is in the new snapshots"


async def test_a_stream_made_anew_under_old_snapshots_is_folded_from_its_start(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life(), *_shards(*range(10)))
    await service.until_done(100)
    await _until_snapshot_covers(stack, 11)
    assert await service.stop() == 0
    jetstream = await stack.jetstream()
    await jetstream.delete_stream(STREAM)
    await jetstream.add_stream(stream_config(StreamLimits()))
    # More than before, so that sequences alone would not tell that the stream is another.
    await stack.publish(*_shards(*range(10, 30)))

    again = await stack.start()
    assert (await again.get()).phases[0].done == 300
    await again.until_logged("the stream lost events: going on with what it has")


async def test_a_stream_with_other_settings_is_reported_and_left_alone(stack: Stack) -> None:
    config = stream_config(StreamLimits())
    config.max_age = 3600
    await (await stack.jetstream()).add_stream(config)
    service = await stack.start()
    await stack.publish(_life())
    await service.until(lambda _: True)
    settings = {line["setting"] for line in service.log_lines() if "another setting" in line["event"]}
    assert settings == {"max_age"}
    assert (await (await stack.jetstream()).stream_info(STREAM)).config.max_age == 3600


async def test_bad_events_are_dropped_counted_and_logged_and_later_ones_are_folded(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(_life(), *_shards(0))
    before = await service.until_done(10)
    jetstream = await stack.jetstream()
    await jetstream.publish("progress.v1.1.training", b"\xff\xffgarbage")
    await jetstream.publish("progress.v1.1.training", b"")
    await stack.publish(
        counts(1, 9, failed=2),
        counts(99999999, 1),
        counts(1, 1, total=0),
        _life(progress_event_pb2.RUN_STATE_UNSPECIFIED),
    )
    await stack.publish(_life(session_id=2))
    await service.until(lambda _: True, 2)
    assert await service.get() == before
    dropped = [line for line in service.log_lines() if line["event"] == "report dropped"]
    assert [line["dropped"] for line in dropped] == [1, 2, 3, 4, 5, 6]
    assert [line["sequence"] for line in dropped] == [3, 4, 5, 6, 7, 8]
    assert all(line["error"] for line in dropped)


async def test_nats_without_jetstream_ends_it_with_one_clear_sentence(tmp_path: Path) -> None:
    server = NatsServer(folder=tmp_path, options=())
    await server.start()
    stack = Stack(nats=server, folder=tmp_path)
    try:
        service = await stack.start(until_serving=False)
        status = await asyncio.to_thread(service.process.wait, _DEADLINE_SECONDS)
        assert status == EXIT_BAD_CONFIGURATION
        errors = [line["event"] for line in service.log_lines() if line["level"] == "error"]
        assert len(errors) == 1
        assert "without JetStream" in errors[0]
        assert "Traceback" not in service.log.read_text()
    finally:
        await service.channel.close()
        server.stop()


async def test_refused_credentials_end_it_with_one_clear_sentence(tmp_path: Path) -> None:
    server = NatsServer(folder=tmp_path, options=("-js", "--user", "someone", "--pass", "secret"))
    await server.start()
    stack = Stack(nats=server, folder=tmp_path)
    try:
        service = await stack.start(until_serving=False)
        status = await asyncio.to_thread(service.process.wait, _DEADLINE_SECONDS)
        assert status == EXIT_BAD_CONFIGURATION
        errors = [line["event"] for line in service.log_lines() if line["level"] == "error"]
        assert errors == ["NATS refused the credentials in NATS_URL."]
    finally:
        await service.channel.close()
        server.stop()


async def test_waits_for_nats_and_is_unavailable_meanwhile(stack: Stack) -> None:
    stack.nats.kill()
    service = await stack.start(until_serving=False)
    await service.until_logged("listening")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.get()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert read_error(raised.value).reason == "STARTING"
    await stack.nats.start()
    await service.until_serving()
    await stack.publish(_life())
    await service.until(lambda _: True)


async def test_stops_in_time_before_nats_was_ever_there(stack: Stack) -> None:
    stack.nats.kill()
    service = await stack.start(until_serving=False)
    await service.until_logged("listening")
    assert await service.stop() == 0


@pytest.mark.parametrize("how", ["killed", "stuck"])
async def test_stops_in_time_while_nats_is_away(stack: Stack, how: str) -> None:
    service = await stack.start(TRIPTYCH_SNAPSHOT_SECONDS="600")
    await stack.publish(_life())
    await service.until(lambda _: True)
    if how == "killed":
        stack.nats.kill()
        await service.until_logged("nats connection lost")
    else:
        assert stack.nats.process is not None
        stack.nats.process.send_signal(19)
    assert await service.stop() == 0


async def test_a_stop_in_order_writes_the_last_snapshots(stack: Stack) -> None:
    service = await stack.start(TRIPTYCH_SNAPSHOT_SECONDS="600")
    await stack.publish(_life(), *_shards(0))
    await service.until_done(10)
    assert await service.stop() == 0
    await _until_snapshot_covers(stack, 2)


async def test_thousands_of_events_are_folded_before_it_serves(stack: Stack) -> None:
    jetstream = await stack.jetstream()
    await jetstream.add_stream(stream_config(StreamLimits()))
    events = [_life(total=100_000), *_shards(*range(10_000))]
    for event in events:
        await jetstream.publish_async(subject_of(1, event.phase), event.SerializeToString())
    await jetstream.publish_async_completed()
    assert (await jetstream.stream_info(STREAM)).state.messages == len(events)
    service = await stack.start()
    assert (await service.get()).phases[0].done == 100_000


async def _until_snapshot_covers(stack: Stack, sequence: int) -> None:
    """Wait until the snapshots cover a sequence of the stream."""
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while True:
            try:
                bucket = await (await stack.jetstream()).key_value(SNAPSHOT_BUCKET)
                if json.loads((await bucket.get("position")).value or b"{}")["sequence"] >= sequence:
                    return
            except NotFoundError:
                pass
            await asyncio.sleep(0.02)


async def _until_stream(stack: Stack) -> None:
    """Wait until the service has made the stream."""
    jetstream = await stack.jetstream()
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while True:
            try:
                await jetstream.stream_info(STREAM)
            except NotFoundError:
                await asyncio.sleep(0.02)
            else:
                return
