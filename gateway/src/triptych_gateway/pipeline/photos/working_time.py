"""How long work went on: the time in which at least one call was open, without outages, pauses and waiting."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class WorkingTime:
    """Adds up the time in which at least one piece of work is under way."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open = 0
        self._since = 0.0
        self._seconds = 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        """A piece of work; several may overlap."""
        if self._open == 0:
            self._since = self._clock()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            if self._open == 0:
                self._seconds += self._clock() - self._since

    @property
    def seconds(self) -> float:
        """Seconds of work so far, ≥ 0."""
        return self._seconds + (self._clock() - self._since if self._open else 0.0)
