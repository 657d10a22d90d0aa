"""One run of one child process: its output to the log, its end, and how it is made to end."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from triptych_gateway.cli.stack.launch import bound_to_this_process
from triptych_gateway.cli.stack.log_sink import LogSink
from triptych_gateway.cli.stack.unix_user import UnixUser

_LONGEST_LINE_BYTES = 16 * 1024
_REMEMBERED_LINES = 20
_LAST_OUTPUT_SECONDS = 1.0
_KILL_SECONDS = 10.0


def everything(_line: str) -> bool:
    """Shows each line on the terminal."""
    return True


@dataclass(frozen=True, kw_only=True)
class ProcessCommand:
    """What to run and how to stop it. Arguments are visible to every user of the machine: no secrets in them."""

    name: str
    """Its column in the log and the name of its file."""
    arguments: tuple[str, ...]
    """The program's absolute path, then its arguments."""
    environment: Mapping[str, str]
    """The whole environment; nothing is inherited besides."""
    user: UnixUser | None = None
    """Whom to run as; None for the present user."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_seconds: float = 10.0
    """How long it may take after `stop_signal` before it is killed."""
    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends it when this process dies."""
    kill_signal: signal.Signals = signal.SIGKILL
    """What `kill` sends; a database has a gentler one than SIGKILL."""
    shown: Callable[[str], bool] = everything
    """Which of its lines reach the terminal; all reach its file."""


class ManagedProcess:
    """A started process. It has a session of its own, so a terminal's Ctrl-C reaches only its starter."""

    def __init__(self, command: ProcessCommand, sink: LogSink, output: "_Output") -> None:
        self.command = command
        self._sink = sink
        self._output = output

    @classmethod
    async def start(cls, command: ProcessCommand, sink: LogSink) -> "ManagedProcess":
        """Starts it; a program that cannot be run shows as exit status 126.

        Raises:
            OSError: no process could be made.
        """
        output = _Output(command, sink)
        await asyncio.get_running_loop().subprocess_exec(
            lambda: output,
            *bound_to_this_process(command.arguments, user=command.user, death_signal=command.death_signal),
            env=dict(command.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
        return cls(command, sink, output)

    @property
    def process_id(self) -> int:
        """Also the id of its process group."""
        return self._output.process_id

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative the number of the signal that ended it."""
        return self._output.exited.result() if self._output.exited.done() else None

    @property
    def recent_lines(self) -> tuple[str, ...]:
        """Its last lines, at most 20, oldest first."""
        return tuple(self._output.recent_lines)

    async def wait(self) -> int:
        """Returns its exit status once it has ended and its last output is in the log."""
        status = await asyncio.shield(self._output.exited)
        # Something it started may hold the pipe open for long.
        await asyncio.wait([self._output.drained], timeout=_LAST_OUTPUT_SECONDS)
        self._output.close()
        return status

    async def stop(self) -> int:
        """Asks it to end, kills it when it has not within its grace, and returns its exit status.

        Raises:
            TimeoutError: even SIGKILL did not end it within 10 s (it hangs in the kernel).
        """
        if self.exit_status is None:
            self.send(self.command.stop_signal)
            try:
                async with asyncio.timeout(self.command.stop_grace_seconds):
                    return await self.wait()
            except TimeoutError:
                self._sink.say(
                    f"{self.command.name} has not ended within {self.command.stop_grace_seconds:g} s: killing it."
                )
                self._send_to_group(signal.SIGKILL)
        async with asyncio.timeout(_KILL_SECONDS):
            return await self.wait()

    def kill(self) -> None:
        """Ends it at once, by its kill signal."""
        if self.command.kill_signal is signal.SIGKILL:
            self._send_to_group(signal.SIGKILL)
        else:
            self.send(self.command.kill_signal)

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal if it still runs."""
        # Not the transport's send_signal: it may collect the exit status before asyncio's watcher does. The watcher
        # has it a moment before the event loop can tell of it.
        if self.exit_status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process_id, number)

    def _send_to_group(self, number: signal.Signals) -> None:
        if self.exit_status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process_id, number)


def describe_exit(status: int) -> str:
    """An exit status in words: `exit status 3`, `SIGKILL`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


class _Output(asyncio.SubprocessProtocol):
    """Splits the output into lines. It needs no task, so output is taken for as long as the event loop turns."""

    def __init__(self, command: ProcessCommand, sink: LogSink) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = loop.create_future()
        self.drained: asyncio.Future[None] = loop.create_future()
        self.recent_lines: deque[str] = deque(maxlen=_REMEMBERED_LINES)
        self.process_id = -1
        self._command = command
        self._sink = sink
        self._rest = b""
        self._transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.SubprocessTransport):
            raise TypeError(f"a subprocess transport was expected, not {type(transport).__name__}")
        self._transport = transport
        self.process_id = transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(line)
        while len(self._rest) > _LONGEST_LINE_BYTES:
            self._write(self._rest[:_LONGEST_LINE_BYTES])
            self._rest = self._rest[_LONGEST_LINE_BYTES:]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if self._rest:
            self._write(self._rest)
            self._rest = b""
        if not self.drained.done():
            self.drained.set_result(None)

    def process_exited(self) -> None:
        status = self._transport.get_returncode() if self._transport else None
        if status is None:
            raise RuntimeError(f"asyncio said that {self._command.name} has ended but not how")
        if not self.exited.done():
            self.exited.set_result(status)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _write(self, line: bytes) -> None:
        text = line.rstrip(b"\r").decode("utf-8", "backslashreplace")
        self.recent_lines.append(text)
        self._sink.line(self._command.name, text, show=self._command.shown(text))
