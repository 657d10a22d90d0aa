"""When to try a call again, and how long to wait before it."""

import asyncio
import random
from typing import Final

import grpc

from triptych_common.rpc.status import RemoteError

RETRIABLE: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # Its token or this gateway's is being changed.
        grpc.StatusCode.UNAUTHENTICATED,
        # A server that is killed or drained in the middle of an answer ends it with one of these.
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
    }
)
FIRST_WAIT_SECONDS: Final = 0.25
LONGEST_WAIT_SECONDS: Final = 10.0


class Backoff:
    """Waits that double from attempt to attempt, each with jitter, until something succeeds."""

    def __init__(self) -> None:
        self._next_seconds = FIRST_WAIT_SECONDS

    def reset(self) -> None:
        """Something succeeded: the next wait is short again."""
        self._next_seconds = FIRST_WAIT_SECONDS

    async def wait(self, error: RemoteError | None = None) -> None:
        """Wait before the next attempt, at least as long as the service asked for."""
        seconds = self._next_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        if error is not None and error.retry_after_seconds is not None:
            seconds = max(seconds, error.retry_after_seconds)
        self._next_seconds = min(self._next_seconds * 2, LONGEST_WAIT_SECONDS)
        await asyncio.sleep(seconds)
