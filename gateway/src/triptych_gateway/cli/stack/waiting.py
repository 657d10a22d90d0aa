"""Waits for something outside this process that can only be asked, not awaited."""

import asyncio
from collections.abc import Awaitable, Callable


async def wait_until(condition: Callable[[], bool], *, deadline_seconds: float, interval_seconds: float) -> bool:
    """Asks `condition` until it holds (True) or the time is over (False); asks at least once."""

    async def answer() -> bool:
        return condition()

    return await wait_until_answered(answer, deadline_seconds=deadline_seconds, interval_seconds=interval_seconds)


async def wait_until_answered(
    condition: Callable[[], Awaitable[bool]], *, deadline_seconds: float, interval_seconds: float
) -> bool:
    """The same for a condition that is asked by awaiting it; a question under way at the deadline is cancelled."""
    try:
        async with asyncio.timeout(deadline_seconds) as deadline:
            while True:
                if await condition():
                    return True
                await asyncio.sleep(interval_seconds)
    except TimeoutError:
        # A timeout of the condition's own is its fault, not the end of the wait.
        if not deadline.expired():
            raise
        return False
