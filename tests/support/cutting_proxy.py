"""A TCP proxy that cuts a connection in the middle of what its ends say, and has one of them killed right there."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.support.tcp_proxy import BLOCK_BYTES, Ends, TcpProxy, proxies

Way = Literal["asked", "said"]
"""From a client to the server, and back."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where a connection is cut: after so many bytes one way, counted from when it was made or this was ordered."""

    way: Way
    byte_count: int
    then: Callable[[], None]
    """Called in the proxy's thread at that moment."""
    done: threading.Event


class CuttingProxy(TcpProxy):
    """May be told what to do from any thread."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        """The server's address; may be changed, and holds for connections to come."""
        self._order: Cut | None = None

    def cut(self, *, way: Way, byte_count: int, then: Callable[[], None]) -> threading.Event:
        """Cut the first connection on which so much more goes one way; returns what tells that it has happened.

        Nothing more is passed on it either way, until one of its ends is gone.
        """
        self._order = Cut(way=way, byte_count=byte_count, then=then, done=threading.Event())
        return self._order.done

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    def pumps(self, ends: Ends) -> Sequence[Coroutine[Any, Any, None]]:
        cut: set[Cut] = set()
        return (
            self._pass(ends.client, ends.questions, way="asked", cut=cut),
            self._pass(ends.server, ends.answers, way="said", cut=cut),
        )

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, way: Way, cut: set[Cut]
    ) -> None:
        counted, passed = self._order, 0
        with contextlib.suppress(ConnectionError):
            while block := await reader.read(BLOCK_BYTES):
                if counted is not self._order:
                    counted, passed = self._order, 0
                passed += len(block)
                order = self._order
                if order is not None and order.way == way and passed > order.byte_count:
                    self._order = None
                    cut.add(order)
                    order.then()
                    order.done.set()
                # What is cut is still read, so that the end of who is killed is seen.
                if not cut:
                    writer.write(block)
                    await writer.drain()


@contextlib.contextmanager
def cutting_proxy(target: str) -> Iterator[CuttingProxy]:
    """A proxy in front of a server, on a port of its own."""
    proxy = CuttingProxy(target)
    with proxies(proxy):
        yield proxy
