"""The faults, each a context in which it lasts."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Final

import psutil

from tests.chaos.cells import Blow
from tests.chaos.chaos_stack import ChaosStack

_TURN_SECONDS: Final = 0.2
_SHARE: Final = 0.1
"""Of each turn, in which who is slow may run."""


@contextlib.asynccontextmanager
async def inflicted(stack: ChaosStack, blow: Blow) -> AsyncIterator[None]:
    """Have a fault for as long as the context lasts; a kill is over at once."""
    match blow.fault:
        case "kill":
            await _kill(stack, blow.part)
            yield
        case "stop":
            with _stopped(stack, blow.part):
                yield
        case "cut":
            with stack.links.cut_off(blow.part, resets=blow.resets):
                yield
        case "full":
            with stack.disks.filled(blow.part):
                yield
        case "slow":
            slowing = asyncio.create_task(_slow_down(stack, blow.part))
            try:
                yield
            finally:
                slowing.cancel()
                await asyncio.wait([slowing])


async def _kill(stack: ChaosStack, part: str) -> None:
    """Kill who runs now, or who comes next where an earlier fault has killed it just before."""
    while not (processes := stack.processes(part)):  # noqa: ASYNC110 - the supervisor tells nobody
        await asyncio.sleep(_TURN_SECONDS)
    _send(processes[:1], signal.SIGKILL)


@contextlib.contextmanager
def _stopped(stack: ChaosStack, part: str) -> Iterator[None]:
    processes = stack.processes(part)
    _send(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(processes, signal.SIGCONT)


async def _slow_down(stack: ChaosStack, part: str) -> None:
    """Stop a part for nine tenths of each turn, whichever process it is by then."""
    while True:
        with _stopped(stack, part):
            await asyncio.sleep(_TURN_SECONDS * (1 - _SHARE))
        await asyncio.sleep(_TURN_SECONDS * _SHARE)


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
