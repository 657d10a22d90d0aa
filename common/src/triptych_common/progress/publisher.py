"""Progress events to NATS, without ever slowing the work.

Counts are absolute, so only the newest report of each unit matters: reports replace each other in memory and leave a
few times per second. The last report of a unit is acknowledged by the stream; the ones before it may be lost. While
NATS is away the newest of each unit is kept, up to a bound.
"""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from triptych.v1 import progress_event_pb2
from triptych_common.logging import get_logger
from triptych_common.progress.events import PhaseValue, subject_of
from triptych_common.progress.nats_client import LeanClient
from triptych_common.progress.permissions import inbox_of
from triptych_common.tracing import current_traceparent

log = get_logger(__name__)

_CLOSE_SECONDS: Final = 1.0
_FLUSH_SECONDS: Final = 2.0
_ACKNOWLEDGE_SECONDS: Final = 5.0
_NATS_TROUBLE: Final = (nats.errors.Error, TimeoutError, OSError)

WORKER = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"
"""This process, as it names itself in events."""


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """Absolute counts of a unit, as of now."""

    session_id: int
    phase: PhaseValue
    run: int
    unit: str
    done: int
    failed: int
    total: int
    stage: str = ""

    @property
    def is_last(self) -> bool:
        """Whether nothing of the unit is left."""
        return self.done + self.failed >= self.total

    @property
    def key(self) -> tuple[int, int, int, str]:
        """What it reports about."""
        return self.session_id, self.phase, self.run, self.unit


@dataclass(kw_only=True)
class PublisherStatistics:
    """What a publisher has done since the process began."""

    reports: int = 0
    """Reports that were taken over."""
    sent: int = 0
    """Reports that went to NATS; those in between were replaced by newer ones."""
    dropped: Counter[str] = field(default_factory=lambda: Counter({"full": 0, "refused": 0}))
    """Units whose newest report was dropped: too many waited, or NATS will never take it."""
    waiting: int = 0
    """Units whose newest report waits to be sent."""


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A report as it was made: when, and in which trace; both would be lost by the time it is sent."""

    report: UnitReport
    reported_at_nanoseconds: int
    traceparent: str


async def connect_nats(url: str, *, name: str) -> Client:
    """Wait until NATS is there and connect; the connection is made again by itself whenever it is lost.

    Raises AuthorizationError where NATS refuses the credentials. End the connection with `close_nats`.
    """
    refused = asyncio.Event()
    told = False

    async def on_disconnect() -> None:
        if not client.is_closed:
            log.warning("nats connection lost")

    async def on_reconnect() -> None:
        log.info("nats connected")

    async def on_error(error: Exception) -> None:
        nonlocal told
        if "authorization violation" in str(error).lower():
            refused.set()
        level = logging.DEBUG if told or client.is_connected else logging.WARNING
        log.log(level, "nats error", error=str(error) or repr(error))
        told = True

    client = LeanClient()
    options: dict[str, Any] = {
        "name": name,
        "inbox_prefix": inbox_of(url),
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "connect_timeout": 5,
        "ping_interval": 5,
        "max_outstanding_pings": 2,
        "disconnected_cb": on_disconnect,
        "reconnected_cb": on_reconnect,
        "error_cb": on_error,
    }
    connecting = asyncio.create_task(client.connect(url.split(","), **options), name=f"connect {name} to nats")
    refusal = asyncio.create_task(refused.wait())
    try:
        await asyncio.wait([connecting, refusal], return_when=asyncio.FIRST_COMPLETED)
    finally:
        refusal.cancel()
        if not client.is_connected:
            await _end(connecting)
            await close_nats(client)
    if refused.is_set() and not client.is_connected:
        raise nats.errors.AuthorizationError
    connecting.result()
    return client


async def close_nats(client: Client) -> None:
    """Close a connection, also one whose other end is stuck."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await client.close()
    except (TimeoutError, nats.errors.Error, OSError) as error:
        log.warning("nats connection not closed in order", error=repr(error))


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended: the NATS client swallows a cancellation that meets it while it connects."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


class ProgressPublisher:
    """Publishes the newest report of each unit a few times per second. An async context manager."""

    def __init__(self, *, nats_url: str, source: str, interval_seconds: float = 0.25, max_units: int = 10_000) -> None:
        self._url = nats_url
        self._source = source
        self._interval_seconds = interval_seconds
        self._max_units = max_units
        self._newest: dict[tuple[int, int, int, str], _Waiting] = {}
        self._statistics = PublisherStatistics()
        self._away = False
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="progress publisher")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            await _end(self._task)
        if self._client is not None:
            try:
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self._flush(self._client)
                    if self._client.is_connected:
                        await self._client.flush()
            except _NATS_TROUBLE as failure:
                log.warning("progress could not be sent at shutdown", error=repr(failure))
            await close_nats(self._client)
        if self._newest:
            log.warning("progress left unsent at shutdown", units=len(self._newest))

    @property
    def is_connected(self) -> bool:
        """Whether reports leave now, rather than wait for NATS."""
        return self._client is not None and self._client.is_connected

    @property
    def statistics(self) -> PublisherStatistics:
        """What was done so far; not to be changed."""
        self._statistics.waiting = len(self._newest)
        return self._statistics

    def report(self, report: UnitReport) -> None:
        """Take over the newest counts of a unit. Never blocks, never raises; call from the event loop's thread."""
        self._statistics.reports += 1
        self._newest.pop(report.key, None)
        self._newest[report.key] = _Waiting(
            report=report, reported_at_nanoseconds=time.time_ns(), traceparent=current_traceparent()
        )
        self._keep_within_bound()

    def _keep_within_bound(self) -> None:
        """Drop the units that waited longest, where there are too many."""
        while len(self._newest) > self._max_units:
            del self._newest[next(iter(self._newest))]
            self._statistics.dropped["full"] += 1
            dropped = self._statistics.dropped["full"]
            if dropped == 1 or dropped % 1000 == 0:
                log.warning("progress reports dropped: too many units wait for nats", dropped=dropped)

    async def _run(self) -> None:
        while True:
            try:
                if self._client is None or self._client.is_closed:
                    # NATS can close a connection for good, such as when its credentials are taken back.
                    self._client = None
                    self._client = await connect_nats(self._url, name=self._source)
                await asyncio.sleep(self._interval_seconds)
                await self._flush(self._client)
                if self._away:
                    self._away = False
                    log.info("progress is published again")
            except _NATS_TROUBLE as error:
                if not self._away:
                    self._away = True
                    log.warning("nats is away: the newest progress of each unit is kept", error=repr(error))
                await asyncio.sleep(self._interval_seconds)

    async def _flush(self, client: Client) -> None:
        """Send what is newest. A report that could not be sent is kept unless a newer one came meanwhile."""
        if not client.is_connected:
            if self._newest:
                raise nats.errors.ConnectionClosedError
            return
        batch = list(self._newest.values())
        self._newest.clear()
        try:
            while batch:
                await self._send_or_drop(client, batch[0])
                batch.pop(0)
        finally:
            self._newest = {**{waiting.report.key: waiting for waiting in batch}, **self._newest}
            self._keep_within_bound()

    async def _send_or_drop(self, client: Client, waiting: _Waiting) -> None:
        """Send one report; one that NATS will never take is dropped, so that it does not hold up the others."""
        try:
            await self._send(client, waiting)
            self._statistics.sent += 1
        except (KeyError, ValueError, nats.errors.MaxPayloadError, nats.js.errors.BadRequestError):
            self._statistics.dropped["refused"] += 1
            log.exception("a progress report cannot be published; dropped", unit=waiting.report.unit[:64])

    async def _send(self, client: Client, waiting: _Waiting) -> None:
        report = waiting.report
        subject = subject_of(report.session_id, report.phase)
        payload = self._event(waiting).SerializeToString()
        headers = {"Nats-Msg-Id": _message_id(report)}
        if report.is_last:
            await client.jetstream(timeout=_ACKNOWLEDGE_SECONDS).publish(subject, payload, headers=headers)
        else:
            await client.publish(subject, payload, headers=headers)

    def _event(self, waiting: _Waiting) -> progress_event_pb2.ProgressEvent:
        report = waiting.report
        event = progress_event_pb2.ProgressEvent(
            session_id=report.session_id,
            phase=report.phase,
            run=report.run,
            source=self._source,
            unit=report.unit,
            counts=progress_event_pb2.UnitCounts(
                done=report.done, failed=report.failed, total=report.total, stage=report.stage
            ),
            worker=WORKER,
            traceparent=waiting.traceparent,
        )
        event.reported_at.FromNanoseconds(waiting.reported_at_nanoseconds)
        return event


def _message_id(report: UnitReport) -> str:
    """The same counts of the same unit are the same message, whoever sends them: the stream keeps one of them."""
    return ".".join(map(str, (*report.key, report.done, report.failed, report.total, report.stage)))
