"""Follows one session to its end, or all, through restarts of the gateway and gateways without an event stream."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from triptych_gateway.cli.rest.answers import Snapshot
from triptych_gateway.cli.rest.client import GatewayClient, StreamNotOffered
from triptych_gateway.cli.rest.errors import GatewayUnreachable
from triptych_gateway.cli.terminal import wording
from triptych_gateway.cli.terminal.text import printable

Answered = TypeVar("Answered")

_FIRST_RETRY_SECONDS = 0.25
_FRUITLESS_STREAMS_BEFORE_POLLING = 3


@dataclass(frozen=True, kw_only=True)
class FollowingOptions:
    """How patiently a session is followed."""

    patience_seconds: float = 60.0
    """How long a gateway may be away at a stretch."""
    poll_interval_seconds: float = 2.0
    """Time between two snapshots where there is no event stream, and the longest between two attempts to connect."""


@dataclass(frozen=True, kw_only=True)
class ConnectionLost:
    """The gateway went away; it is tried again for `patience_seconds`."""

    reason: str
    patience_seconds: float

    def sentence(self) -> str:
        """The news for a person."""
        return f"{printable(self.reason)}; trying again for {self.patience_seconds:g} s"


@dataclass(frozen=True, kw_only=True)
class ConnectionRestored:
    """The gateway answers again."""

    away_seconds: float

    def sentence(self) -> str:
        """The news for a person."""
        return f"the gateway answers again after {wording.duration(self.away_seconds)}"


@dataclass(frozen=True, kw_only=True)
class StreamGivenUp:
    """There is no event stream: snapshots are asked for from now on."""

    reason: str


Update = Snapshot | ConnectionLost | ConnectionRestored | StreamGivenUp


class _Outage:
    """Counts how long the gateway has been away, and how long to wait before the next attempt."""

    def __init__(self, options: FollowingOptions) -> None:
        self._options = options
        self._since: float | None = None
        self._pause_seconds = _FIRST_RETRY_SECONDS

    def begin(self, error: GatewayUnreachable) -> ConnectionLost | None:
        """Notes a failed attempt; the message where it is the first. Raises `error` anew once patience is over."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
            return ConnectionLost(reason=str(error), patience_seconds=self._options.patience_seconds)
        if now - self._since >= self._options.patience_seconds:
            raise GatewayUnreachable(
                f"{error} (and did not come back within {self._options.patience_seconds:g} s)"
            ) from error
        return None

    def end(self) -> ConnectionRestored | None:
        """Notes an answer; the message where it ended an outage."""
        since, self._since, self._pause_seconds = self._since, None, _FIRST_RETRY_SECONDS
        if since is None:
            return None
        return ConnectionRestored(away_seconds=asyncio.get_running_loop().time() - since)

    async def wait(self) -> None:
        """Waits before the next attempt, longer each time."""
        await asyncio.sleep(self._pause_seconds)
        self._pause_seconds = min(2 * self._pause_seconds, self._options.poll_interval_seconds)


async def patiently(
    call: Callable[[], Awaitable[Answered]],
    *,
    options: FollowingOptions,
    tell: Callable[[ConnectionLost | ConnectionRestored], None],
) -> Answered:
    """The answer of `call`, which may be repeated, tried again while the gateway is away."""
    outage = _Outage(options)
    while True:
        try:
            answer = await call()
        except GatewayUnreachable as error:
            if lost := outage.begin(error):
                tell(lost)
            await outage.wait()
            continue
        if restored := outage.end():
            tell(restored)
        return answer


async def follow(client: GatewayClient, session_id: int, *, options: FollowingOptions) -> AsyncGenerator[Update, None]:
    """Every snapshot of a session until a terminal one, which is the last; in between, how the connection fares.

    Raises `GatewayUnreachable` when the gateway stays away for longer than `options.patience_seconds`, and whatever
    else `GatewayClient` raises.
    """
    outage = _Outage(options)
    snapshots = _Snapshots(client, session_id)
    while True:
        try:
            async with aclosing(snapshots.next_ones()) as arriving:
                async for snapshot in arriving:
                    if restored := outage.end():
                        yield restored
                    yield snapshot
                    if snapshot.is_terminal:
                        return
        except GatewayUnreachable as error:
            if lost := outage.begin(error):
                yield lost
            await outage.wait()
            continue
        except StreamNotOffered as error:
            snapshots.poll()
            yield StreamGivenUp(reason=str(error))
            continue
        if snapshots.are_fruitless:
            snapshots.poll()
            yield StreamGivenUp(reason="the event stream ends without a word")
            continue
        await asyncio.sleep(options.poll_interval_seconds if snapshots.are_polled else _FIRST_RETRY_SECONDS)


async def follow_all(
    client: GatewayClient, *, since: datetime | None, options: FollowingOptions
) -> AsyncGenerator[Update, None]:
    """Every snapshot of every session that is under way; in between, how the connection fares.

    Those that ended after `since` are among them. Ends only where there is no event stream, with `StreamGivenUp`.
    Raises as `follow` does.
    """
    outage = _Outage(options)
    last_event_id = None if since is None else str(int(since.timestamp() * 1e6))
    while True:
        try:
            async with aclosing(client.stream_all(last_event_id=last_event_id)) as arriving:
                async for event_id, snapshot in arriving:
                    if restored := outage.end():
                        yield restored
                    last_event_id = event_id or last_event_id
                    yield snapshot
        except GatewayUnreachable as error:
            if lost := outage.begin(error):
                yield lost
            await outage.wait()
        except StreamNotOffered as error:
            yield StreamGivenUp(reason=str(error))
            return
        else:
            await asyncio.sleep(_FIRST_RETRY_SECONDS)


async def with_silences(
    updates: AsyncGenerator[Update, None], *, seconds: float
) -> AsyncGenerator[Update | None, None]:
    """The updates, and None whenever none came for so long."""
    waiting: asyncio.Future[Update] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(updates))
            done, _ = await asyncio.wait({waiting}, timeout=seconds)
            if not done:
                yield None
                continue
            try:
                update = waiting.result()
            except StopAsyncIteration:
                return
            finally:
                waiting = None
            yield update
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait({waiting})
        await updates.aclose()


class _Snapshots:
    """Where snapshots come from: the event stream, taken up where it broke off, or single answers."""

    def __init__(self, client: GatewayClient, session_id: int) -> None:
        self._client = client
        self._session_id = session_id
        self._last_event_id: str | None = None
        self._has_connected = False
        self._fruitless_streams = 0
        self.are_polled = False

    @property
    def are_fruitless(self) -> bool:
        """Whether streams keep ending before they brought anything."""
        return not self.are_polled and self._fruitless_streams >= _FRUITLESS_STREAMS_BEFORE_POLLING

    def poll(self) -> None:
        """Gives the event stream up."""
        self.are_polled = True

    async def next_ones(self) -> AsyncGenerator[Snapshot, None]:
        """One snapshot where they are polled; else those of one stream until it ends, a later stream after a look."""
        if self.are_polled:
            yield await self._client.progress_unified(self._session_id)
            return
        if self._has_connected:
            # A stream that is taken up again may stay silent until something changes: ask where things stand.
            yield await self._client.progress_unified(self._session_id)
        self._has_connected = True
        self._fruitless_streams += 1
        stream = self._client.stream(self._session_id, last_event_id=self._last_event_id)
        async with aclosing(stream) as arriving:
            async for event_id, snapshot in arriving:
                self._fruitless_streams = 0
                self._last_event_id = event_id or None
                yield snapshot
