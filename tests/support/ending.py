"""Ends tasks of the code under test, whatever swallows a cancellation."""

import asyncio
from collections.abc import Iterable

_AGAIN_SECONDS = 0.1


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: in Python 3.11 a cancellation that meets an answer of NATS is lost."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN_SECONDS)
