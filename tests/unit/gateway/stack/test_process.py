"""One child process: its output, its end, and that it never outlives its starter."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.launch import bound_to_this_process
from triptych_gateway.cli.stack.log_sink import LogSink
from triptych_gateway.cli.stack.one_shot import run_to_end
from triptych_gateway.cli.stack.process import ManagedProcess, ProcessCommand, describe_exit
from triptych_gateway.cli.stack.waiting import wait_until

DEAF = "import signal,time;signal.signal(signal.SIGTERM,signal.SIG_IGN);print('deaf',flush=True);time.sleep(600)"


def command(code: str, *, grace_seconds: float = 30.0, environment: dict[str, str] | None = None) -> ProcessCommand:
    return ProcessCommand(
        name="child",
        arguments=(sys.executable, "-c", code),
        environment=environment or {},
        stop_grace_seconds=grace_seconds,
    )


async def until(condition: object) -> None:
    assert callable(condition)
    assert await wait_until(condition, deadline_seconds=30, interval_seconds=0.02)


@pytest.fixture
def console() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def sink(tmp_path: Path, console: io.StringIO) -> LogSink:
    return LogSink(tmp_path, console=console)


async def test_every_line_of_both_streams_is_logged_the_unfinished_one_too(sink: LogSink, console: io.StringIO) -> None:
    code = "import os;os.write(1,b'one\\ntw');os.write(2,b'o\\r\\n\\xff');os.write(1,b'end')"
    process = await ManagedProcess.start(command(code), sink)
    assert await process.wait() == 0
    sink.close()
    assert console.getvalue().splitlines() == [f"child      │ {line}" for line in ("one", "two", "\\xffend")]
    assert process.recent_lines == ("one", "two", "\\xffend")


async def test_a_line_without_end_does_not_fill_the_memory(sink: LogSink) -> None:
    process = await ManagedProcess.start(command("import sys;sys.stdout.write('x'*100_000)"), sink)
    await process.wait()
    sink.close()
    assert sum(map(len, process.recent_lines)) == 100_000
    assert max(map(len, process.recent_lines)) == 16 * 1024


async def test_it_inherits_nothing_and_has_a_session_of_its_own(sink: LogSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "secret")
    code = "import os;print(os.environ.get('DATABASE_URL'),os.environ['GIVEN'],os.getsid(0)==os.getpid())"
    process = await ManagedProcess.start(command(code, environment={"GIVEN": "yes"}), sink)
    await process.wait()
    sink.close()
    assert process.recent_lines == ("None yes True",)


async def test_a_polite_process_ends_by_its_stop_signal(sink: LogSink) -> None:
    process = await ManagedProcess.start(command("import time;print('up',flush=True);time.sleep(600)"), sink)
    await until(lambda: process.recent_lines)
    assert process.exit_status is None
    assert await process.stop() == -signal.SIGTERM
    assert await process.stop() == -signal.SIGTERM
    sink.close()


async def test_a_process_that_ended_while_the_event_loop_was_busy_can_be_stopped(sink: LogSink) -> None:
    process = await ManagedProcess.start(command("pass"), sink)
    deadline = time.monotonic() + 30
    # Whoever waits for it knows of its end, and cannot yet tell.
    while psutil.pid_exists(process.process_id) and time.monotonic() < deadline:
        time.sleep(0.01)  # noqa: ASYNC251 - the event loop is not to turn
    assert process.exit_status is None
    process.kill()
    assert await process.stop() == 0
    sink.close()


async def test_a_deaf_process_is_killed_and_that_is_said(sink: LogSink, console: io.StringIO) -> None:
    process = await ManagedProcess.start(command(DEAF, grace_seconds=0.2), sink)
    await until(lambda: process.recent_lines)
    assert await process.stop() == -signal.SIGKILL
    sink.close()
    assert "child has not ended within 0.2 s: killing it." in console.getvalue()


async def test_a_program_that_cannot_be_run_says_so(sink: LogSink) -> None:
    missing = ProcessCommand(name="child", arguments=("/no/such/program",), environment={})
    process = await ManagedProcess.start(missing, sink)
    assert await process.wait() == 126
    sink.close()
    assert process.recent_lines == ("/no/such/program cannot be run: No such file or directory",)


async def test_a_child_does_not_outlive_a_starter_that_is_killed(tmp_path: Path) -> None:
    starter_code = (
        "import subprocess,sys,signal,time\n"
        "from triptych_gateway.cli.stack.launch import bound_to_this_process\n"
        "arguments=bound_to_this_process(('/bin/sleep','600'),user=None,death_signal=signal.SIGKILL)\n"
        "child=subprocess.Popen(arguments)\n"
        "print(child.pid,flush=True)\n"
        "time.sleep(600)\n"
    )
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", starter_code, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    child = psutil.Process(int(await starter.stdout.readline()))
    await until(lambda: child.name() == "sleep")
    starter.kill()
    await starter.wait()
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_a_child_whose_starter_is_already_gone_does_not_begin() -> None:
    arguments = list(bound_to_this_process(("/bin/true",), user=None, death_signal=signal.SIGKILL))
    arguments[arguments.index(str(os.getpid()))] = "999999999"
    process = await asyncio.create_subprocess_exec(*arguments)
    assert await process.wait() == os.EX_TEMPFAIL


async def test_one_shot_gives_output_and_fails_with_it() -> None:
    assert await run_to_end("/bin/echo", "hello", environment={}, deadline_seconds=30) == "hello\n"
    with pytest.raises(StackError, match=r"sh failed with status 3: why"):
        await run_to_end("/bin/sh", "-c", "echo why >&2; exit 3", environment={}, deadline_seconds=30)


async def test_one_shot_ends_what_takes_too_long() -> None:
    with pytest.raises(StackError, match=r"sleep did not end within 0\.1 s"):
        await run_to_end("/bin/sleep", "600", environment={}, deadline_seconds=0.1)


def test_exits_are_described_in_words() -> None:
    assert [describe_exit(status) for status in (0, 3, -9, -99)] == [
        "exit status 0",
        "exit status 3",
        "SIGKILL",
        "signal 99",
    ]
