"""Progress events to NATS, without ever slowing the work.

Counts are absolute, so only the newest report of each unit matters: reports replace each other in memory and leave a
few times per second. The last report of a unit is acknowledged by the stream; the ones before it may be lost. While
NATS is away the newest of each unit is kept, up to a bound.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import nats
import nats.errors
from nats.aio.client import Client
from opentelemetry import propagate

from triptych.v1 import progress_event_pb2
from triptych_common.events import PhaseValue, subject_of
from triptych_common.logging import get_logger

log = get_logger(__name__)

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


async def connect_nats(url: str, *, name: str) -> Client:
    """A connection that is made in the background if NATS is away, and made again whenever it is lost."""

    async def on_disconnect() -> None:
        log.warning("nats connection lost")

    async def on_reconnect() -> None:
        log.info("nats connected")

    async def on_error(error: Exception) -> None:
        log.debug("nats error", error=str(error) or type(error).__name__)

    return await nats.connect(
        url.split(","),
        name=name,
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,
        connect_timeout=5,
        ping_interval=5,
        max_outstanding_pings=2,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
        error_cb=on_error,
    )


class ProgressPublisher:
    """Publishes the newest report of each unit a few times per second. An async context manager."""

    def __init__(self, *, nats_url: str, source: str, interval_seconds: float = 0.25, max_units: int = 10_000) -> None:
        self._url = nats_url
        self._source = source
        self._interval_seconds = interval_seconds
        self._max_units = max_units
        self._newest: dict[tuple[int, int, int, str], UnitReport] = {}
        self._dropped = 0
        self._away = False
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="progress publisher")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # More than once: the NATS client swallows a cancellation that meets it while it connects.
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.1)
        if self._client is not None:
            try:
                async with asyncio.timeout(2):
                    await self._flush(self._client)
                    await self._client.drain()
            except (TimeoutError, nats.errors.Error, OSError) as failure:
                log.warning("progress left unsent at shutdown", units=len(self._newest), error=repr(failure))
            if not self._client.is_closed:
                await self._client.close()

    def report(self, report: UnitReport) -> None:
        """Take over the newest counts of a unit. Never blocks, never raises; call from the event loop's thread."""
        self._newest.pop(report.key, None)
        if len(self._newest) >= self._max_units:
            del self._newest[next(iter(self._newest))]
            self._dropped += 1
            if self._dropped == 1 or self._dropped % 1000 == 0:
                log.warning("progress reports dropped: too many units wait for nats", dropped=self._dropped)
        self._newest[report.key] = report

    async def _run(self) -> None:
        while self._client is None:
            try:
                self._client = await connect_nats(self._url, name=self._source)
            except (nats.errors.Error, OSError) as error:
                self._say_away(error)
                await asyncio.sleep(1)
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                await self._flush(self._client)
                if self._away:
                    self._away = False
                    log.info("progress is published again")
            except (TimeoutError, nats.errors.Error, OSError) as error:
                self._say_away(error)

    def _say_away(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            log.warning("nats is away: the newest progress of each unit is kept", error=repr(error))

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
                await self._send(client, batch[0])
                batch.pop(0)
        finally:
            self._newest = {**{report.key: report for report in batch}, **self._newest}

    async def _send(self, client: Client, report: UnitReport) -> None:
        subject = subject_of(report.session_id, report.phase)
        payload = self._event(report).SerializeToString()
        headers = {"Nats-Msg-Id": _message_id(report)}
        if report.is_last:
            await client.jetstream(timeout=5).publish(subject, payload, headers=headers)
        else:
            await client.publish(subject, payload, headers=headers)

    def _event(self, report: UnitReport) -> progress_event_pb2.ProgressEvent:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
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
            traceparent=_traceparent(carrier),
        )
        event.reported_at.GetCurrentTime()
        return event


def _traceparent(carrier: Mapping[str, str]) -> str:
    return carrier.get("traceparent", "")


def _message_id(report: UnitReport) -> str:
    """The same counts of the same unit are the same message, whoever sends them: the stream keeps one of them."""
    return f"{report.session_id}.{report.phase}.{report.run}.{report.unit}.{report.done}.{report.failed}.{report.stage}"
