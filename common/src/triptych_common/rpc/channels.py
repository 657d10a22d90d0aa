"""Client channels to the replicas of a service: one per address, the least busy first."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc

from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.rpc.access import TokenChannel
from triptych_common.rpc.server import CHANNEL_OPTIONS

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


_FIRST_REST_SECONDS: Final = 0.5
_LONGEST_REST_SECONDS: Final = 10.0


@dataclass(eq=False)
class Replica:
    """One address of a service."""

    address: str
    channel: grpc.aio.Channel
    in_flight: int = 0
    leaving: bool = False
    failures: int = 0
    """How often in a row it was found away."""
    rests_until: float = 0.0
    """By the event loop's clock; until then it is tried last."""
    was_connected: bool = False

    def is_ready(self, now: float) -> bool:
        """Whether a call may well succeed. One that was away gets a single call first, when its rest is over.

        A connection that was there and is not has ended, since its server drains or died: whether another can be had
        is tried before the next call is risked.
        """
        state = self.channel.get_state(try_to_connect=True)
        is_connected = state is grpc.ChannelConnectivity.READY
        self.was_connected = self.was_connected or is_connected
        has_failed = state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)
        is_unreachable = has_failed or (self.was_connected and not is_connected)
        is_on_trial = self.failures > 0 and self.in_flight > 0
        return not (is_unreachable or is_on_trial or now < self.rests_until)

    def was_away(self, now: float) -> None:
        """A call found it away: let it rest, longer each time. Calls that fail together count once."""
        if now < self.rests_until:
            return
        self.rests_until = now + min(_FIRST_REST_SECONDS * 2**self.failures, _LONGEST_REST_SECONDS)
        self.failures += 1

    def has_answered(self) -> None:
        """A call found it there."""
        self.failures, self.rests_until = 0, 0.0


class ReplicaPool:
    """The replicas behind a list of ``host:port``; names are resolved again every few seconds.

    An async context manager: leaving it closes all channels.
    """

    def __init__(
        self, addresses: Sequence[str], *, service: str, token: str | None = None, resolve_seconds: float = 10.0
    ) -> None:
        """With a token, every call sends it."""
        self._addresses = tuple(addresses)
        self._token = token
        self._service = service
        self._resolve_seconds = resolve_seconds
        self._replicas: dict[str, Replica] = {}
        self._resolved: dict[str, set[str]] = {}
        self._task: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[int], None]] = []

    @property
    def addresses(self) -> frozenset[str]:
        """``host:port`` of each replica that is known now, as a number."""
        return frozenset(self._replicas)

    def tell(self, listener: Callable[[int], None]) -> None:
        """Tell somebody how many replicas are known: at once, and whenever they were looked up."""
        self._listeners.append(listener)
        listener(len(self._replicas))

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
        """The replica with the least in flight, for one call; one that is away only if all are.

        Raises AwayError where none is known.
        """
        candidates = [replica for replica in self._replicas.values() if not replica.leaving]
        if not candidates:
            raise AwayError(f"No replica of {self._service} is known.", reason="NO_REPLICA")
        clock = asyncio.get_running_loop().time
        now = clock()
        replica = min(candidates, key=lambda one: (not one.is_ready(now), one.in_flight))
        replica.in_flight += 1
        try:
            yield replica
            replica.has_answered()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                log.warning(
                    "a replica refuses this process's TRIPTYCH_SERVICE_TOKEN",
                    service=self._service,
                    address=replica.address,
                )
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED):
                replica.was_away(clock())
            elif error.code() not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
                replica.has_answered()
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
        for address in self._addresses:
            try:
                self._resolved[address] = await _look_up(address)
            except OSError as error:
                # What the name stood for is kept: a name server that is away does not take the replicas with it.
                log.warning("address does not resolve", service=self._service, address=address, error=str(error))
        found = {number for numbers in self._resolved.values() for number in numbers}
        for address in found - self._replicas.keys():
            self._replicas[address] = Replica(address, self._channel(address))
        for address in self._replicas.keys() - found:
            replica = self._replicas.pop(address)
            replica.leaving = True
            if replica.in_flight == 0:
                await replica.channel.close(None)
        for listener in self._listeners:
            listener(len(self._replicas))

    def _channel(self, address: str) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        return channel if self._token is None else TokenChannel(channel, self._token)


async def _look_up(address: str) -> set[str]:
    """Addresses with numbers that a ``host:port`` stands for now. Raises OSError where it stands for none."""
    host, _, port = address.rpartition(":")
    infos = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    numbers = {str(info[4][0]) for info in infos}
    return {f"[{number}]:{port}" if ":" in number else f"{number}:{port}" for number in numbers}
