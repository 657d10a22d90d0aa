"""A supervised child: readiness, restarts, giving up, and the stop."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.log_sink import LogSink
from triptych_gateway.cli.stack.process import ProcessCommand
from triptych_gateway.cli.stack.supervisor import Backoff, Child, ChildPlan
from triptych_gateway.cli.stack.waiting import wait_until

FOREVER = "import time;print('up',flush=True);time.sleep(600)"


async def always() -> bool:
    return True


async def never() -> bool:
    return False


class Watched:
    """A child with all that it told."""

    def __init__(
        self,
        directory: Path,
        code: str,
        *,
        is_ready: Callable[[], Awaitable[bool]] = always,
        prepare: Callable[[], Awaitable[None]] | None = None,
        why_restart: Callable[[], Awaitable[str | None]] | None = None,
        ready_deadline_seconds: float = 30.0,
    ) -> None:
        self.sink = LogSink(directory, console=None)
        self.log = directory / "triptych.log"
        self.starts: list[int | None] = []
        self.hopeless: asyncio.Future[StackError] = asyncio.get_running_loop().create_future()
        plan = ChildPlan(
            command=ProcessCommand(name="child", arguments=(sys.executable, "-c", code), environment={}),
            is_ready=is_ready,
            prepare=prepare,
            why_restart=why_restart,
            look_seconds=0.01,
            ready_deadline_seconds=ready_deadline_seconds,
        )
        self.child = Child(
            plan,
            self.sink,
            on_started=lambda child: self.starts.append(child.process_id),
            on_hopeless=self.hopeless.set_result,
            backoff=Backoff(first_seconds=0.01),
        )

    async def run_until(self, done: Callable[[], bool]) -> None:
        async with asyncio.TaskGroup() as group:
            self.child.start_in(group)
            assert await wait_until(done, deadline_seconds=30, interval_seconds=0.02)
            await self.child.stop()
        self.sink.close()

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")


def test_the_wait_doubles_up_to_a_limit_and_is_short_again_after_a_good_run() -> None:
    backoff = Backoff()
    waits = [backoff.delay_seconds(ran_for_seconds=1) for _ in range(7)]
    assert waits == [0.5, 1, 2, 4, 8, 10, 10]
    assert backoff.delay_seconds(ran_for_seconds=60) == 0.5
    assert backoff.delay_seconds(ran_for_seconds=59) == 1


async def test_a_child_that_is_killed_is_started_again_and_that_is_said(tmp_path: Path) -> None:
    watched = Watched(tmp_path, FOREVER)
    killed: list[int] = []

    def killed_once_and_back() -> bool:
        if not killed and watched.starts and watched.starts[0] is not None and "is ready" in watched.said:
            killed.append(watched.starts[0])
            os.kill(watched.starts[0], signal.SIGKILL)
        return "answers again" in watched.said

    await watched.run_until(lambda: watched.log.exists() and killed_once_and_back())
    assert "child died (SIGKILL): starting it again in 0.01 s." in watched.said
    assert watched.said.rstrip().endswith("child stopped (SIGTERM).")
    assert watched.child.process_id is None
    assert not watched.hopeless.done()


async def test_a_wrong_configuration_is_not_tried_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "import sys;print('set TRIPTYCH_MODEL');sys.exit(78)", is_ready=never)
    await watched.run_until(watched.hopeless.done)
    assert len(watched.starts) == 1
    assert str(watched.hopeless.result()) == "child cannot run as it is set up: set TRIPTYCH_MODEL"


async def test_a_child_that_has_run_is_tried_again_whatever_it_says_when_it_ends(tmp_path: Path) -> None:
    """A gateway that starts while its database is away says that it cannot run as it is set up."""
    away = tmp_path / "away"
    code = f"import pathlib,sys,time;sys.exit(78) if pathlib.Path({str(away)!r}).exists() else time.sleep(60)"
    watched = Watched(tmp_path, code)

    def is_back_after_a_start_in_vain() -> bool:
        first, is_killed = watched.starts[0], len(watched.starts) > 1 or away.exists()
        if first is not None and not is_killed and "is ready" in watched.said:
            away.touch()
            os.kill(first, signal.SIGKILL)
        if "exit status 78" in watched.said:
            away.unlink(missing_ok=True)
        return "answers again" in watched.said.rpartition("exit status 78")[2] and not away.exists()

    await watched.run_until(lambda: watched.log.exists() and is_back_after_a_start_in_vain())
    assert "child died (exit status 78): starting it again" in watched.said
    assert not watched.hopeless.done()


async def test_a_child_that_only_another_start_can_help_gets_one(tmp_path: Path) -> None:
    reasons = iter((None, None, "child has lost its wits"))

    async def why() -> str | None:
        return next(reasons, None)

    watched = Watched(tmp_path, FOREVER, why_restart=why)
    await watched.run_until(lambda: watched.log.exists() and "answers again" in watched.said)
    assert len(watched.starts) == 2
    assert "child has lost its wits: starting it again." in watched.said


async def test_a_child_that_never_comes_up_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "raise SystemExit('no module')", is_ready=never)
    await watched.run_until(watched.hopeless.done)
    assert len(watched.starts) == 5
    assert str(watched.hopeless.result()) == "child died 5 times while starting. Last: no module"


async def test_a_child_that_does_not_answer_in_time_is_given_up(tmp_path: Path) -> None:
    watched = Watched(tmp_path, FOREVER, is_ready=never, ready_deadline_seconds=0.5)
    await watched.run_until(watched.hopeless.done)
    assert "child did not answer within 0.5 s of its start" in str(watched.hopeless.result())


async def test_what_preparation_cannot_mend_is_hopeless(tmp_path: Path) -> None:
    async def refuse() -> None:
        raise StackError("the disk is another's")

    watched = Watched(tmp_path, FOREVER, prepare=refuse)
    await watched.run_until(watched.hopeless.done)
    assert (watched.starts, str(watched.hopeless.result())) == ([], "the disk is another's")


async def test_a_wanted_restart_is_neither_late_nor_called_a_death(tmp_path: Path) -> None:
    watched = Watched(tmp_path, FOREVER)
    async with asyncio.TaskGroup() as group:
        watched.child.start_in(group)
        await watched.child.wait_until_ready()
        await watched.child.restart()
        assert await wait_until(lambda: len(watched.starts) == 2, deadline_seconds=30, interval_seconds=0.02)
        await watched.child.stop()
    watched.sink.close()
    assert "died" not in watched.said


@pytest.mark.parametrize("kill", [False, True])
async def test_a_stop_while_it_is_starting_leaves_nothing(tmp_path: Path, kill: bool) -> None:
    watched = Watched(tmp_path, FOREVER, is_ready=never)
    async with asyncio.TaskGroup() as group:
        watched.child.start_in(group)
        if kill:
            assert await wait_until(lambda: bool(watched.starts), deadline_seconds=30, interval_seconds=0.02)
            watched.child.kill()
        await watched.child.stop()
    watched.sink.close()
    assert watched.child.process_id is None
