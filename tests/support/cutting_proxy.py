"""A TCP proxy that cuts a connection in the middle of what its ends say, and has one of them killed right there."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from tests.support.ending import end_tasks
from tests.support.real_servers import DEADLINE_SECONDS

_BLOCK_BYTES = 2**12
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


class CuttingProxy:
    """Passes bytes between clients and a server, from a thread of its own; may be told what to do from any."""

    def __init__(self, target: str) -> None:
        self.target = target
        """The server's address; may be changed, and holds for connections to come."""
        self.address = ""
        self._order: Cut | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def cut(self, *, way: Way, byte_count: int, then: Callable[[], None]) -> threading.Event:
        """Cut the first connection on which so much more goes one way; returns what tells that it has happened.

        Nothing more is passed on it either way, until one of its ends is gone.
        """
        self._order = Cut(way=way, byte_count=byte_count, then=then, done=threading.Event())
        return self._order.done

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One connection, until one of its ends is gone."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writers = [answers]
        try:
            host, _, port = self.target.rpartition(":")
            server, questions = await asyncio.open_connection(host, int(port))
            writers.append(questions)
            cut: set[Cut] = set()
            pumps = [
                asyncio.create_task(self._pass(client, questions, way="asked", cut=cut)),
                asyncio.create_task(self._pass(server, answers, way="said", cut=cut)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end_tasks(pumps)
        except ConnectionError:
            # Nobody is there: the client sees its connection end.
            pass
        finally:
            for writer in writers:
                writer.transport.abort()
            self._connections.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, way: Way, cut: set[Cut]
    ) -> None:
        counted, passed = self._order, 0
        with contextlib.suppress(ConnectionError):
            while block := await reader.read(_BLOCK_BYTES):
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

    async def run(self, *, listens: threading.Event, over: asyncio.Event) -> None:
        """Listen until it is over."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        listens.set()
        try:
            await over.wait()
        finally:
            server.close()
            await end_tasks(self._connections)


@contextlib.contextmanager
def cutting_proxy(target: str) -> Iterator[CuttingProxy]:
    """A proxy in front of a server, on a port of its own."""
    proxy, listens = CuttingProxy(target), threading.Event()
    with asyncio.Runner() as runner, ThreadPoolExecutor(1, "cutting-proxy") as thread:
        loop, over = runner.get_loop(), asyncio.Event()
        ended = thread.submit(runner.run, proxy.run(listens=listens, over=over))
        try:
            assert listens.wait(DEADLINE_SECONDS), "the proxy listens"
            yield proxy
        finally:
            loop.call_soon_threadsafe(over.set)
            ended.result()
