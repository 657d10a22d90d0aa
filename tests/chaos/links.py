"""The links between the parts of a stack: a proxy each, so that one part can be cut off from all others."""

import asyncio
import contextlib
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.support.tcp_proxy import BLOCK_BYTES, Ends, TcpProxy, proxies
from triptych_gateway.cli.stack.postgres_place import SOCKET_PORT
from triptych_gateway.cli.stack.record import StackRecord
from triptych_gateway.cli.stack.services import GATEWAY, GRPC_SERVICES

NATS: Final = "nats"
POSTGRES: Final = "postgres"
SERVERS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    GATEWAY: (*GRPC_SERVICES, NATS, POSTGRES),
    **dict.fromkeys(GRPC_SERVICES, (NATS,)),
}
"""To whom each part opens connections, as the table in docs/architecture.md has it."""


class Link(TcpProxy):
    """The network between one part and a server of its: while it is cut, nothing passes and nobody is told."""

    def __init__(self, client: str, server: str, record: Path) -> None:
        super().__init__()
        self.client = client
        self.server = server
        self._record = record
        """Where the stack says at which addresses its parts are."""
        self._whole = asyncio.Event()
        self._whole.set()

    @property
    def ends(self) -> tuple[str, str]:
        """The parts that it joins."""
        return self.client, self.server

    def set_cut(self) -> None:
        """Pass nothing from now on. For the thread of the proxy."""
        self._whole.clear()

    def set_whole(self, *, resets: bool) -> None:
        """Pass everything again; connections of before go on where they were, or are reset. For the proxy's thread."""
        if resets:
            for connection in self._connections:
                connection.cancel()
        self._whole.set()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        await self._whole.wait()
        record = StackRecord.read(self._record)
        if record is None:
            raise ConnectionRefusedError("the stack has not said yet where its parts are")
        if self.server == POSTGRES:
            [directory] = parse_qs(urlsplit(record.database_url).query)["host"]
            return await asyncio.open_unix_connection(Path(directory) / f".s.PGSQL.{SOCKET_PORT}")
        address = urlsplit(record.nats_url).netloc if self.server == NATS else record.addresses[self.server]
        host, _, port = address.rpartition("@")[2].rpartition(":")
        return await asyncio.open_connection(host, int(port))

    def pumps(self, ends: Ends) -> Sequence[Coroutine[Any, Any, None]]:
        return self._pass(ends.client, ends.questions), self._pass(ends.server, ends.answers)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while block := await reader.read(BLOCK_BYTES):
                await self._whole.wait()
                writer.write(block)
                await writer.drain()
            # The end of a connection is news too, which does not pass either.
            await self._whole.wait()


class Links:
    """All links of one stack."""

    def __init__(self, links: Collection[Link], loop: asyncio.AbstractEventLoop) -> None:
        self._links = links
        self._loop = loop

    def addresses(self) -> dict[str, dict[str, str]]:
        """Where each part is to look for its servers, by their names."""
        found: dict[str, dict[str, str]] = {client: {} for client in SERVERS_OF}
        for link in self._links:
            found[link.client][link.server] = link.address
        return found

    @contextlib.contextmanager
    def cut_off(self, part: str, *, resets: bool) -> Iterator[None]:
        """Let nothing pass from or to a part; afterwards its connections go on, or are reset."""
        links = [link for link in self._links if part in link.ends]
        for link in links:
            self._loop.call_soon_threadsafe(link.set_cut)
        try:
            yield
        finally:
            for link in links:
                self._loop.call_soon_threadsafe(partial(link.set_whole, resets=resets))


@contextlib.contextmanager
def links_of_a_stack(record: Path) -> Iterator[Links]:
    """A link for each pair of parts, for a stack that writes that record."""
    made = [Link(client, server, record) for client, servers in SERVERS_OF.items() for server in servers]
    with proxies(*made) as loop:
        yield Links(made, loop)
