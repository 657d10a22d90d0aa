"""The progress publisher with a real NATS server that comes, goes, and comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from opentelemetry import trace
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.support.nats_server import NatsServer
from triptych.v1 import progress_event_pb2, work_pb2
from triptych_common.progress.events import STREAM, StreamLimits, stream_config
from triptych_common.progress.publisher import WORKER, ProgressPublisher, UnitReport, close_nats, connect_nats

_DEADLINE_SECONDS = 60
_USERS = 'jetstream {{}}\nauthorization {{ users = [ {{ user: "{name}", password: "one" }} ] }}\n'


def _report(unit: str, done: int, *, failed: int = 0, total: int = 100, stage: str = "") -> UnitReport:
    return UnitReport(
        session_id=17,
        phase=work_pb2.PHASE_FACE_DETECTION,
        run=3,
        unit=unit,
        done=done,
        failed=failed,
        total=total,
        stage=stage,
    )


class _Stream:
    """NATS with the progress stream, and a reader of it that connects anew for every look."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server

    def publisher(self, *, max_units: int = 10_000, interval_seconds: float = 0.02) -> ProgressPublisher:
        return ProgressPublisher(
            nats_url=self.server.url, source="facedetect", interval_seconds=interval_seconds, max_units=max_units
        )

    async def make(self) -> None:
        async with await self._connect() as client:
            await client.jetstream().add_stream(stream_config(StreamLimits()))

    async def events(self) -> list[progress_event_pb2.ProgressEvent]:
        """All events of the stream, in order."""
        async with await self._connect() as client:
            jetstream = client.jetstream()
            state = (await jetstream.stream_info(STREAM)).state
            return [await _event(jetstream, sequence) for sequence in range(1, state.last_seq + 1)]

    async def newest(self) -> dict[str, int]:
        """Unit → what was done by its newest event."""
        return {event.unit: event.counts.done for event in await self.events()}

    async def until_newest(self, wanted: dict[str, int]) -> None:
        """Wait until the newest event of each unit is as it should be."""
        found: dict[str, int] = {}
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                while found != wanted:
                    await asyncio.sleep(0.02)
                    found = await self.newest()
        except TimeoutError:
            raise AssertionError(f"{found}, not {wanted}") from None

    async def _connect(self) -> Client:
        return await nats.connect(self.server.url, allow_reconnect=False)


async def _event(jetstream: JetStreamContext, sequence: int) -> progress_event_pb2.ProgressEvent:
    message = await jetstream.get_msg(STREAM, sequence)
    return progress_event_pb2.ProgressEvent.FromString(message.data or b"")


async def _until_logged(logs: list[EventDict], event: str) -> None:
    await _until(lambda: any(line["event"] == event for line in logs))


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[_Stream]:
    server = NatsServer(folder=tmp_path)
    await server.start()
    try:
        made = _Stream(server)
        await made.make()
        yield made
    finally:
        server.kill()


async def test_an_event_says_what_was_reported_when_by_whom_and_in_which_trace(stream: _Stream) -> None:
    span = trace.NonRecordingSpan(trace.SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False))
    async with stream.publisher() as publisher:
        with trace.use_span(span):
            publisher.report(_report("shard-4", 5, failed=1, stage="tree"))
        await stream.until_newest({"shard-4": 5})
    (event,) = await stream.events()
    assert (event.session_id, event.phase, event.run) == (17, work_pb2.PHASE_FACE_DETECTION, 3)
    assert (event.source, event.unit, event.worker) == ("facedetect", "shard-4", WORKER)
    assert event.counts == progress_event_pb2.UnitCounts(done=5, failed=1, total=100, stage="tree")
    assert event.traceparent == f"00-{0xABC:032x}-{0xDEF:016x}-00"
    assert event.reported_at.ToMilliseconds() > 0


async def test_reports_of_a_unit_leave_as_one(stream: _Stream) -> None:
    async with stream.publisher() as publisher:
        for done in range(1, 101):
            publisher.report(_report("shard-0", done))
            publisher.report(_report("shard-1", done // 2))
        await stream.until_newest({"shard-0": 100, "shard-1": 50})
    assert len(await stream.events()) == 2


async def test_closing_sends_what_waits(stream: _Stream) -> None:
    async with stream.publisher(interval_seconds=600) as publisher:
        await _until(lambda: publisher.is_connected)
        for ordinal in range(50):
            publisher.report(_report(f"shard-{ordinal}", 100 if ordinal % 2 else 1))
    assert len(await stream.newest()) == 50


async def test_the_last_report_is_kept_until_a_stream_has_acknowledged_it(tmp_path: Path) -> None:
    server = NatsServer(folder=tmp_path)
    await server.start()
    stream = _Stream(server)
    try:
        with capture_logs() as logs:
            async with stream.publisher() as publisher:
                publisher.report(_report("shard-0", 99, failed=1))
                await _until_logged(logs, "nats is away: the newest progress of each unit is kept")
                with pytest.raises(NotFoundError):
                    await stream.events()
                await stream.make()
                await stream.until_newest({"shard-0": 99})
    finally:
        server.kill()


async def test_while_nats_is_away_the_newest_of_each_unit_is_kept_and_delivered_afterwards(stream: _Stream) -> None:
    with capture_logs() as logs:
        async with stream.publisher() as publisher:
            publisher.report(_report("shard-0", 10))
            await stream.until_newest({"shard-0": 10})
            stream.server.kill()
            await _until_logged(logs, "nats connection lost")
            for done in range(11, 60):
                publisher.report(_report("shard-0", done))
                publisher.report(_report("shard-1", done))
            publisher.report(_report("shard-2", 100))
            await _until_logged(logs, "nats is away: the newest progress of each unit is kept")
            publisher.report(_report("shard-1", 60))
            await stream.server.start()
            await stream.until_newest({"shard-0": 59, "shard-1": 60, "shard-2": 100})
            await _until_logged(logs, "progress is published again")
    assert len(await stream.events()) == 4


async def test_last_reports_survive_a_nats_that_is_killed_again_and_again(stream: _Stream) -> None:
    units = [f"shard-{ordinal}" for ordinal in range(60)]
    async with stream.publisher() as publisher:
        for number, unit in enumerate(units):
            publisher.report(_report(unit, 100))
            await asyncio.sleep(0.01)
            if number % 20 == 10:
                stream.server.kill()
                await stream.server.start()
        await stream.until_newest(dict.fromkeys(units, 100))


async def test_only_so_many_units_wait_for_nats(stream: _Stream) -> None:
    with capture_logs() as logs:
        async with stream.publisher(max_units=5) as publisher:
            await _until(lambda: publisher.is_connected)
            stream.server.kill()
            await _until_logged(logs, "nats connection lost")
            for ordinal in range(20):
                publisher.report(_report(f"shard-{ordinal}", 1))
            await stream.server.start()
            await stream.until_newest(dict.fromkeys((f"shard-{ordinal}" for ordinal in range(15, 20)), 1))
    assert [line["dropped"] for line in logs if "dropped" in line] == [1]


async def test_the_same_counts_from_two_workers_are_kept_once(stream: _Stream) -> None:
    for _ in range(2):
        async with stream.publisher() as publisher:
            publisher.report(_report("shard-0", 100))
            await stream.until_newest({"shard-0": 100})
    assert len(await stream.events()) == 1


async def test_a_report_that_nats_will_not_take_does_not_hold_up_the_others(stream: _Stream) -> None:
    with capture_logs() as logs:
        async with stream.publisher() as publisher:
            publisher.report(_report("too long for the stream " * 4000, 100))
            publisher.report(_report("too long for the server " * 100_000, 1))
            publisher.report(_report("negative", -1))
            publisher.report(_report("shard-0", 100))
            await stream.until_newest({"shard-0": 100})
    assert [line["unit"][:8] for line in logs if "cannot be published" in line["event"]] == [
        "too long",
        "too long",
        "negative",
    ]


async def test_a_connection_that_was_closed_for_good_is_made_anew(tmp_path: Path) -> None:
    """NATS ends a connection so when its user is taken back; the client then gives up by itself."""
    folder = tmp_path / "with-users"
    folder.mkdir()
    users = folder / "nats.conf"
    users.write_text(_USERS.format(name="worker"))
    server = NatsServer(folder=folder, options=("-js", "-c", str(users)))
    await server.start()
    url = server.url.replace("//", "//worker:one@")
    try:
        client = await connect_nats(url, name="test")
        try:
            await client.jetstream().add_stream(stream_config(StreamLimits()))
            with capture_logs() as logs:
                async with ProgressPublisher(nats_url=url, source="test", interval_seconds=0.02) as publisher:
                    await _until(lambda: publisher.is_connected)
                    users.write_text(_USERS.format(name="other"))
                    server.reload()
                    await _until(lambda: not publisher.is_connected)
                    publisher.report(_report("shard-0", 100))
                    await _until_logged(logs, "nats is away: the newest progress of each unit is kept")
                    users.write_text(
                        'jetstream {}\nauthorization { users = [ { user: "worker", password: "one" } ] }\n'
                    )
                    server.reload()
                    await _until_logged(logs, "progress is published again")
        finally:
            await close_nats(client)
        client = await connect_nats(url, name="test")
        try:
            assert (await client.jetstream().stream_info(STREAM)).state.messages == 1
        finally:
            await close_nats(client)
    finally:
        server.kill()


async def test_refused_credentials_are_told(tmp_path: Path) -> None:
    server = NatsServer(folder=tmp_path, options=("-js", "--user", "someone", "--pass", "secret"))
    await server.start()
    try:
        with pytest.raises(nats.errors.AuthorizationError):
            await connect_nats(server.url, name="test")
    finally:
        server.kill()


async def test_connecting_waits_until_nats_is_there(tmp_path: Path) -> None:
    server = NatsServer(folder=tmp_path)
    with capture_logs() as logs:
        connecting = asyncio.create_task(connect_nats(server.url, name="test"))
        await _until_logged(logs, "nats error")
        await server.start()
        try:
            client = await connecting
            assert client.is_connected
            await close_nats(client)
        finally:
            server.kill()
