"""The progress service while NATS is away, comes back, or is not as it has to be."""

import asyncio
from pathlib import Path

import grpc
import pytest

from tests.support.nats_server import NatsServer
from tests.support.progress_process import DEADLINE_SECONDS, Stack, shards, started
from triptych.v1 import progress_pb2
from triptych_common.errors import EXIT_BAD_CONFIGURATION
from triptych_common.progress.events import STREAM, StreamLimits, stream_config
from triptych_common.rpc.status import read_error


async def test_goes_on_by_itself_after_nats_was_killed_and_loses_nothing_acknowledged(stack: Stack) -> None:
    service = await stack.start()
    await stack.publish(started(), *shards(*range(10)))
    await service.until_done(100)
    call = service.stub.WatchSessionProgress(progress_pb2.WatchSessionProgressRequest(session_ids=[1]))
    await call.read()
    # Some of these are acknowledged, but perhaps not delivered, when the server dies.
    await stack.publish(*shards(*range(10, 40)))
    stack.nats.kill()
    assert (await service.get()).phases[0].done >= 100, "it answers while NATS is away"
    await stack.nats.start()
    await service.until_done(400)
    await stack.publish(*shards(40))
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
    await stack.publish(started())
    stack.nats.stop()
    await stack.nats.start()
    await stack.publish(*shards(0))
    await service.until_done(10)


async def test_a_stream_with_other_settings_is_reported_and_left_alone(stack: Stack) -> None:
    config = stream_config(StreamLimits())
    config.max_age = 3600
    await (await stack.jetstream()).add_stream(config)
    service = await stack.start()
    await stack.publish(started())
    await service.until(lambda _: True)
    settings = {line["setting"] for line in service.log_lines() if "another setting" in line["event"]}
    assert settings == {"max_age"}
    assert (await (await stack.jetstream()).stream_info(STREAM)).config.max_age == 3600


async def test_nats_without_jetstream_ends_it_with_one_clear_sentence(tmp_path: Path) -> None:
    server = NatsServer(folder=tmp_path, options=())
    await server.start()
    stack = Stack(nats=server, folder=tmp_path)
    try:
        service = await stack.start(until_serving=False)
        status = await asyncio.to_thread(service.process.wait, DEADLINE_SECONDS)
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
        status = await asyncio.to_thread(service.process.wait, DEADLINE_SECONDS)
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
    await stack.publish(started())
    await service.until(lambda _: True)


async def test_stops_in_time_before_nats_was_ever_there(stack: Stack) -> None:
    stack.nats.kill()
    service = await stack.start(until_serving=False)
    await service.until_logged("listening")
    assert await service.stop() == 0


@pytest.mark.parametrize("how", ["killed", "stuck"])
async def test_stops_in_time_while_nats_is_away(stack: Stack, how: str) -> None:
    service = await stack.start(TRIPTYCH_SNAPSHOT_SECONDS="600")
    await stack.publish(started())
    await service.until(lambda _: True)
    if how == "killed":
        stack.nats.kill()
        await service.until_logged("nats connection lost")
    else:
        assert stack.nats.process is not None
        stack.nats.process.send_signal(19)
    assert await service.stop() == 0
