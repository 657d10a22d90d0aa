"""A TCP proxy of a test's own, in a thread of its own: what it does to the bytes that it passes is up to its kinds."""

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from tests.support.ending import end_tasks
from tests.support.real_servers import DEADLINE_SECONDS

BLOCK_BYTES: Final = 2**12


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The two ends of one connection, as the proxy reads and writes them."""

    client: asyncio.StreamReader
    questions: asyncio.StreamWriter
    """To the server."""
    server: asyncio.StreamReader
    answers: asyncio.StreamWriter
    """To the client."""


class TcpProxy(ABC):
    """Passes bytes between clients and a server; `proxies` runs it."""

    def __init__(self) -> None:
        self.address = ""
        self._connections: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server, for a client that has come. Raises OSError where nobody is there."""

    @abstractmethod
    def pumps(self, ends: Ends) -> Sequence[Coroutine[Any, Any, None]]:
        """What passes the bytes of one connection; it is over when the first of them returns."""

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One connection, until one of its ends is gone."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writers = [answers]
        # Nobody is there: the client sees its connection end.
        try:
            with contextlib.suppress(OSError):
                server, questions = await self.connect()
                writers.append(questions)
                ends = Ends(client=client, questions=questions, server=server, answers=answers)
                pumps = [asyncio.create_task(pump) for pump in self.pumps(ends)]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    await end_tasks(pumps)
        finally:
            for writer in writers:
                writer.transport.abort()
            self._connections.discard(task)

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
def proxies(*made: TcpProxy) -> Iterator[asyncio.AbstractEventLoop]:
    """Run proxies, each on a port of its own; yields the loop of their thread."""
    with asyncio.Runner() as runner, ThreadPoolExecutor(1, "proxies") as thread:
        loop, over = runner.get_loop(), asyncio.Event()
        listening = [threading.Event() for _ in made]

        async def run_all() -> None:
            async with asyncio.TaskGroup() as group:
                for proxy, listens in zip(made, listening, strict=True):
                    group.create_task(proxy.run(listens=listens, over=over))

        ended = thread.submit(runner.run, run_all())
        try:
            for listens in listening:
                assert listens.wait(DEADLINE_SECONDS), "the proxy listens"
            yield loop
        finally:
            loop.call_soon_threadsafe(over.set)
            ended.result()
