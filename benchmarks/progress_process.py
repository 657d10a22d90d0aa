"""The progress service in a process of its own, for benchmarks."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.ports import free_port
from triptych.v1 import progress_pb2_grpc
from triptych_common.rpc.server import CHANNEL_OPTIONS

_DEADLINE_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.02


class ProgressProcess:
    """A running progress service: an async context manager that kills it at the end."""

    def __init__(self, nats_url: str, folder: Path, *, port: int | None = None, **settings: str) -> None:
        self._nats_url = nats_url
        self._settings = settings
        self._log = folder / f"progress-{len(list(folder.glob('progress-*.log')))}.log"
        self.port = port or free_port()

    async def __aenter__(self) -> Self:
        self._process = self._launch()
        options = [*CHANNEL_OPTIONS, ("grpc.max_reconnect_backoff_ms", 50), ("grpc.initial_reconnect_backoff_ms", 20)]
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options)
        return self

    def _launch(self) -> subprocess.Popen[bytes]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TRIPTYCH_")}
        environment |= {"NATS_URL": self._nats_url, "TRIPTYCH_LISTEN": f"127.0.0.1:{self.port}", **self._settings}
        script = str(Path(sys.executable).with_name("triptych-progress"))
        with self._log.open("wb") as output:
            return subprocess.Popen([script], env=environment, stderr=output)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()
        self.kill()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def stub(self) -> "progress_pb2_grpc.ProgressAsyncStub":
        """Its procedures."""
        stub: Any = progress_pb2_grpc.ProgressStub(self._channel)
        return stub  # type: ignore[no-any-return]

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._process.kill()
        self._process.wait()

    async def until_serving(self) -> None:
        """Wait until the health check says that it has caught up."""
        request = health_pb2.HealthCheckRequest(service="triptych.v1.Progress")
        async with asyncio.timeout(_DEADLINE_SECONDS):
            answers = health_pb2_grpc.HealthStub(self._channel).Watch(request, wait_for_ready=True)
            async for answer in answers:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    answers.cancel()
                    return

    async def until_logged(self, event: str) -> dict[str, Any]:
        """Wait for a line of its log."""
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while True:
                try:
                    return self.logged(event)
                except LookupError:
                    await asyncio.sleep(_POLL_SECONDS)

    def logged(self, event: str) -> dict[str, Any]:
        """A line of its log. Raises LookupError where there is none."""
        for line in self._log.read_text().split("\n")[:-1]:
            if line.startswith("{") and (entry := json.loads(line))["event"] == event:
                return dict(entry)
        raise LookupError(f"nothing logged about {event!r}")
