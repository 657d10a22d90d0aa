"""How much work waits for a service: what its number of replicas may follow."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class Remainder:
    """What one run has yet to get through a service."""

    shards: int
    """Shards that are not finished, ≥ 0; those that a call is working on too."""


class Backlog:
    """The shards of all runs that are at one service, finished ones aside."""

    def __init__(self) -> None:
        self._remainders: list[Remainder] = []

    @property
    def shards(self) -> int:
        """Shards that are not finished, of all runs."""
        return sum(one.shards for one in self._remainders)

    @contextmanager
    def of_run(self, *, photos: int, shard_size: int) -> Iterator[Remainder]:
        """Count a run in for as long as the context lasts; whoever holds the remainder keeps it up to date.

        It begins as the run's photos in shards, and as one shard at least: how many of them lack a result is known only
        once the service has named its model, and a service without replicas must not seem to be without work.
        """
        remainder = Remainder(max(1, -(-photos // shard_size)))
        self._remainders.append(remainder)
        try:
            yield remainder
        finally:
            self._remainders.remove(remainder)
