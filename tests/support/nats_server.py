"""A real NATS server for tests, that can be killed, wiped and started again on its port."""

import asyncio
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port

_DEADLINE_SECONDS = 30


@dataclass(kw_only=True)
class NatsServer:
    """One server with its store in a folder of its own."""

    folder: Path
    options: tuple[str, ...] = ("-js",)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.process = self._launch()
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while not await self._answers():
                assert self.process.poll() is None, (self.folder / "nats.log").read_text()
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order; no matter if it is not running."""
        self._end(signal.SIGTERM)

    def reload(self) -> None:
        """Have it read its configuration again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def wipe(self) -> None:
        """Delete its store; it must not be running."""
        assert self.process is None
        shutil.rmtree(self.folder / "store")

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(_DEADLINE_SECONDS)
            self.process = None

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("nats-server")), *self.options]
        command += ["-sd", str(self.folder / "store"), "-a", "127.0.0.1", "-p", str(self.port)]
        with (self.folder / "nats.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            return (await reader.readline()).startswith(b"INFO")
        finally:
            writer.close()
            await writer.wait_closed()
