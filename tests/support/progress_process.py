"""The progress service as a real process, over real gRPC, with a real NATS server of its own."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import nats
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.progress_events import counts, life
from triptych.v1 import progress_event_pb2, progress_pb2, progress_pb2_grpc, work_pb2
from triptych_common.progress.events import SNAPSHOT_BUCKET, STREAM, subject_of

DEADLINE_SECONDS = 60
_ANSWER_SECONDS = 30
_STOP_SECONDS = 20.0
"""What `triptych up` gives a service before it kills it."""
PHASES = (work_pb2.PHASE_TRAINING, work_pb2.PHASE_FACE_DETECTION, work_pb2.PHASE_CLUSTERING)
started = partial(life, total=1000)


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
        answer: progress_pb2.GetSessionProgressResponse = await self.stub.GetSessionProgress(
            request, timeout=_ANSWER_SECONDS
        )
        return answer.progress

    async def list_progress(self, *session_ids: int) -> Sequence[progress_pb2.SessionProgress]:
        """The progress of several sessions, or of all."""
        request = progress_pb2.ListSessionProgressRequest(session_ids=session_ids)
        answer: progress_pb2.ListSessionProgressResponse = await self.stub.ListSessionProgress(
            request, timeout=_ANSWER_SECONDS
        )
        return answer.progress

    async def until(
        self, is_reached: Callable[[progress_pb2.SessionProgress], bool], session_id: int = 1
    ) -> progress_pb2.SessionProgress:
        """Wait until the progress of a session is as it should be."""
        newest = None
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
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
        async with asyncio.timeout(DEADLINE_SECONDS):
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
        async with asyncio.timeout(DEADLINE_SECONDS):
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
        status = await asyncio.to_thread(self.process.wait, DEADLINE_SECONDS)
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
        return client.jetstream(timeout=_ANSWER_SECONDS)

    async def publish(self, *events: progress_event_pb2.ProgressEvent) -> None:
        """Publish events; each is acknowledged by the stream."""
        jetstream = await self.jetstream()
        for event in events:
            await jetstream.publish(subject_of(event.session_id, event.phase), event.SerializeToString())


def shards(*ordinals: int) -> list[progress_event_pb2.ProgressEvent]:
    """Events of whole shards."""
    return [counts(ordinal) for ordinal in ordinals]


async def until_snapshot_covers(stack: Stack, sequence: int) -> None:
    """Wait until the snapshots cover a sequence of the stream."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                bucket = await (await stack.jetstream()).key_value(SNAPSHOT_BUCKET)
                if json.loads((await bucket.get("position")).value or b"{}")["sequence"] >= sequence:
                    return
            except NotFoundError:
                pass
            await asyncio.sleep(0.02)


async def until_stream(stack: Stack) -> None:
    """Wait until the service has made the stream."""
    jetstream = await stack.jetstream()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                await jetstream.stream_info(STREAM)
            except NotFoundError:
                await asyncio.sleep(0.02)
            else:
                return
