"""Client channels to the replicas of a service: one per address, the least busy first."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc

from triptych_common.errors import AwayError
from triptych_common.grpc_server import CHANNEL_OPTIONS
from triptych_common.logging import get_logger

log = get_logger(__name__)

_OPTIONS: list[tuple[str, Any]] = [
    *CHANNEL_OPTIONS,
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # Each replica has its own channel and connection, also where two stacks share a machine.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
]


@dataclass(eq=False)
class Replica:
    """One address of a service."""

    address: str
    channel: grpc.aio.Channel
    in_flight: int = 0
    leaving: bool = False
    failures: int = field(default=0)
    """Calls in a row that found it away; it is tried last while others answer."""


class ReplicaPool:
    """The replicas behind a list of ``host:port``; names are resolved again every few seconds.

    An async context manager: leaving it closes all channels.
    """

    def __init__(self, addresses: Sequence[str], *, service: str, resolve_seconds: float = 10.0) -> None:
        self._addresses = tuple(addresses)
        self._service = service
        self._resolve_seconds = resolve_seconds
        self._replicas: dict[str, Replica] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def replica_count(self) -> int:
        """Replicas that are known now."""
        return len(self._replicas)

    async def __aenter__(self) -> Self:
        await self._resolve()
        self._task = asyncio.create_task(self._keep_resolving(), name=f"resolve {self._service}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for replica in self._replicas.values():
            await replica.channel.close(None)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Replica]:
        """The replica with the least in flight, for one call. Raises AwayError where none is known."""
        candidates = [replica for replica in self._replicas.values() if not replica.leaving]
        if not candidates:
            raise AwayError(f"No replica of {self._service} is known.", reason="NO_REPLICA")
        replica = min(candidates, key=lambda one: (one.failures, one.in_flight))
        replica.in_flight += 1
        try:
            yield replica
            replica.failures = 0
        except grpc.aio.AioRpcError as error:
            replica.failures = replica.failures + 1 if error.code() is grpc.StatusCode.UNAVAILABLE else 0
            raise
        finally:
            replica.in_flight -= 1
            if replica.leaving and replica.in_flight == 0:
                await replica.channel.close(None)

    async def _keep_resolving(self) -> None:
        while True:
            await asyncio.sleep(self._resolve_seconds)
            await self._resolve()

    async def _resolve(self) -> None:
        found: set[str] = set()
        for address in self._addresses:
            host, _, port = address.rpartition(":")
            try:
                infos = await asyncio.get_running_loop().getaddrinfo(
                    host.strip("[]"), int(port), type=socket.SOCK_STREAM
                )
            except OSError as error:
                log.warning("address does not resolve", service=self._service, address=address, error=str(error))
                continue
            found.update(
                f"[{info[4][0]}]:{port}" if ":" in str(info[4][0]) else f"{info[4][0]}:{port}" for info in infos
            )
        if not found and self._replicas:
            return  # A name server that is away does not take the replicas with it.
        for address in found - self._replicas.keys():
            self._replicas[address] = Replica(address, grpc.aio.insecure_channel(address, options=_OPTIONS))
        for address in self._replicas.keys() - found:
            replica = self._replicas.pop(address)
            replica.leaving = True
            if replica.in_flight == 0:
                await replica.channel.close(None)
