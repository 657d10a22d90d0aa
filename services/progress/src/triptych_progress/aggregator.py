"""Follows the stream of progress events and folds them; around that its parts: snapshots, watchers, stalls, rebuilding.

Every replica folds the whole stream from the last snapshots on and can answer; there is no leader. While NATS is away
it answers from what it has; where NATS comes back without its data it makes the stream anew, goes on, and asks the
gateways to announce again what the catalogue knows.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamInfo

from triptych.v1 import progress_event_pb2
from triptych_common.errors import ConfigurationError
from triptych_common.logging import get_logger
from triptych_common.progress.events import STREAM, StreamLimits, forgotten_session
from triptych_common.tracing.spans import record
from triptych_progress.messages import report_from_wire
from triptych_progress.reannouncement import Reannouncement
from triptych_progress.reducer import BadReportError
from triptych_progress.session import Session
from triptych_progress.sessions import Sessions
from triptych_progress.snapshot_keeper import SnapshotKeeper
from triptych_progress.snapshot_store import SnapshotStore
from triptych_progress.snapshots import Position, UnreadableSnapshotError
from triptych_progress.stream import Delivery, StreamEvent
from triptych_progress.stream_purging import StreamPurger
from triptych_progress.stream_settings import ensure_stream
from triptych_progress.watching import Watchers

log = get_logger(__name__)

_REQUEST_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.5
_TICK_SECONDS: Final = 1.0
_RECOVERY_SECONDS: Final = 5.0
"""How long workers may take to reach NATS again after it was away."""
_CATCHING_UP: Final = 15
"""Intervals between snapshots while the stream is being caught up with."""
_JETSTREAM_GRACE_SECONDS: Final = 2.0
"""How long NATS may answer without JetStream before it is taken for set up so."""
_LAST_SAVE_SECONDS: Final = 0.8
_CANCEL_AGAIN_SECONDS: Final = 0.1
_SKEW_MEMORY: Final = 0.01
_WITHOUT_JETSTREAM: Final = (None, 10039, 10076)
"""Error codes of a server without JetStream: nobody responds, not enabled for the account, not enabled."""
_NATS_TROUBLE: Final = (nats.errors.Error, TimeoutError, OSError)


@dataclass(frozen=True, kw_only=True)
class AggregatorSettings:
    """How the stream is made where there is none, and how sessions are kept."""

    limits: StreamLimits
    snapshot_seconds: float
    """How often changed sessions are written."""
    evict_after_seconds: float
    """How long a session that is over stays in memory."""
    keep_ended_seconds: float
    """How long it is kept after that."""


@dataclass(kw_only=True)
class FoldStatistics:
    """What was done with events since the start of this process."""

    folded: Counter[str] = field(default_factory=Counter)
    """Events by kind, "counts" and "lifecycle"."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Events by why they were dropped: "garbled", "impossible", "flaw" of the fold."""


def _record_fold(message: progress_event_pb2.ProgressEvent, event: StreamEvent) -> None:
    """Note in the trace of an event that it is folded: from the stream's taking it until now."""
    record(
        "progress event",
        parent=message.traceparent,
        start_nanoseconds=event.time_microseconds * 1000,
        end_nanoseconds=time.time_ns(),
        session=message.session_id,
        sequence=event.sequence,
    )


class Aggregator:
    """Keeps sessions up to date from the stream."""

    def __init__(self, client: Client, settings: AggregatorSettings) -> None:
        self._client = client
        self._settings = settings
        self._jetstream: JetStreamContext = client.jetstream(timeout=_REQUEST_SECONDS)
        self._store = SnapshotStore(
            self._jetstream, replicas=settings.limits.replicas, keep_ended_seconds=settings.keep_ended_seconds
        )
        self._stream = ""
        self._sequence = 0
        self._followed_since: float | None = None
        self._nothing_pending = asyncio.Event()
        self._skew_microseconds: float | None = None
        """The stream's clock less this machine's, as fresh events tell it; None before the first."""
        self._unreadable: set[int] = set()
        """Ended sessions whose snapshots were found to be unreadable."""
        self._purger = StreamPurger(self._jetstream)
        self.watchers = Watchers()
        self.sessions = Sessions(self._fetch_ended, on_change=self.watchers.on_change)
        self.keeper = SnapshotKeeper(
            self._store,
            self.sessions,
            position=lambda: self._position,
            evict_after_seconds=settings.evict_after_seconds,
        )
        self.reannouncement = Reannouncement(client)
        self.statistics = FoldStatistics()
        self.on_lag: Callable[[float], None] = lambda _: None
        """Called with the seconds between the stream's taking a fresh event and its being folded."""
        self.caught_up = asyncio.Event()
        """Set once everything that was in the stream at the start is folded."""

    async def run(self) -> None:
        """Restore, follow the stream and keep snapshots, until cancelled.

        Raises ConfigurationError where NATS has no JetStream, and ConnectionClosedError (later in an ExceptionGroup)
        where NATS closed the connection for good.
        """
        began = asyncio.get_running_loop().time()
        await self._prepare()
        try:
            async with asyncio.TaskGroup() as tasks:
                parts = [
                    tasks.create_task(self._follow(), name="follow the stream"),
                    tasks.create_task(self._keep_snapshots(), name="keep snapshots"),
                    tasks.create_task(self._tick(), name="look for stalls"),
                    tasks.create_task(self.watchers.run(), name="tell watchers"),
                    tasks.create_task(self._purger.run(), name="remove events of forgotten sessions"),
                    tasks.create_task(self.reannouncement.run(), name="have everything announced again"),
                ]
                tasks.create_task(_end_for_good(parts), name="end the parts")
                await self._nothing_pending.wait()
                await self.sessions.settled()
                self.caught_up.set()
                seconds = round(asyncio.get_running_loop().time() - began, 3)
                log.info("caught up", events=self.statistics.folded.total(), seconds=seconds)
        finally:
            self.sessions.stop()

    async def save_now(self) -> None:
        """Write snapshots of what has changed, if that can be done at once; for an orderly end."""
        await self.keeper.save_at_the_end(seconds=_LAST_SAVE_SECONDS)

    @property
    def _position(self) -> Position:
        return Position(stream=self._stream, sequence=self._sequence)

    @property
    def _now_microseconds(self) -> float:
        """Now, by the stream's clock."""
        return time.time_ns() / 1000 + (self._skew_microseconds or 0.0)

    @property
    def _hears_events(self) -> bool:
        """Whether events have come without a break for long enough that a worker's newest would be here."""
        if self._followed_since is None or not self._client.is_connected:
            return False
        return asyncio.get_running_loop().time() - self._followed_since > _RECOVERY_SECONDS

    async def _prepare(self) -> None:
        """Make sure that stream and buckets are there, and load the snapshots; wait for NATS as long as it takes."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            try:
                await ensure_stream(self._jetstream, self._settings.limits)
                has_lost = await self._store.open()
                self.sessions.in_memory, position = await self._store.load()
            except nats.js.errors.ServiceUnavailableError as error:
                if error.err_code in _WITHOUT_JETSTREAM and clock() - began > _JETSTREAM_GRACE_SECONDS:
                    raise ConfigurationError(
                        "NATS answers, but without JetStream, in which progress is kept: start it with JetStream"
                        " enabled (nats-server -js)."
                    ) from error
                await asyncio.sleep(_RETRY_SECONDS)
            except _NATS_TROUBLE as error:
                log.warning("waiting for nats", stream=STREAM, error=repr(error))
                await self._until_connected()
                await asyncio.sleep(_RETRY_SECONDS)
                began = clock()
            else:
                self._stream, self._sequence = position.stream, position.sequence
                if has_lost and self._stream:
                    self.reannouncement.want(why="the snapshots of ended sessions were lost")
                log.info("restored", sessions=len(self.sessions.in_memory), sequence=self._sequence)
                return

    async def _follow(self) -> None:
        """Fold what the stream delivers; begin again after the last folded event whenever deliveries are lost."""
        while True:
            await self._until_connected()
            try:
                self._find_position(await ensure_stream(self._jetstream, self._settings.limits))
                self._followed_since = asyncio.get_running_loop().time()
                await Delivery(self._client, self._jetstream, take=self._on_event).run(
                    after=self._sequence, on_nothing_pending=self._nothing_pending.set
                )
            except _NATS_TROUBLE as error:
                self._followed_since = None
                log.warning("following the stream again", sequence=self._sequence, error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _until_connected(self) -> None:
        """Wait for the connection. Raises ConnectionClosedError where the client has given it up."""
        while not self._client.is_connected:
            if self._client.is_closed:
                raise nats.errors.ConnectionClosedError
            await asyncio.sleep(0.05)

    def _find_position(self, stream: StreamInfo) -> None:
        """Where to go on in a stream: after what is folded, or from the start if it is not the stream it was.

        Where events are missing that were never folded here, the gateways are asked to announce everything again.
        """
        made, last = str(stream.created).replace(" ", "T"), stream.state.last_seq
        is_the_same = made == self._stream.partition(" ")[0]
        if is_the_same and last >= self._sequence:
            if stream.state.first_seq > self._sequence + 1:
                log.warning(
                    "the stream has discarded events that were not folded",
                    folded=self._sequence,
                    first=stream.state.first_seq,
                )
                self.reannouncement.want(why="the stream has discarded events that were not folded")
            return
        if self._stream:
            log.warning("the stream lost events: going on with what it has", had=self._sequence, has=last)
        self.reannouncement.want(why="the stream lost events" if self._stream else "there are no snapshots")
        # A stream cut short gives its sequences out again, so positions in it must not compare with those before.
        self._stream, self._sequence = (f"{made} cut at {last}" if is_the_same else made), 0
        self.sessions.unsaved |= self.sessions.in_memory.keys()

    def _on_event(self, event: StreamEvent) -> None:
        forgotten = forgotten_session(event.subject)
        if forgotten is None:
            self._fold(event)
        else:
            self.sessions.forget(forgotten)
            self.keeper.forget(forgotten)
            self._purger.want(forgotten, before=event.sequence)
            log.info("a session is forgotten", session_id=forgotten)
        self._sequence = event.sequence
        if event.pending == 0:
            if not event.waited:
                self._on_fresh(event)
            self._nothing_pending.set()

    def _fold(self, event: StreamEvent) -> None:
        try:
            message = progress_event_pb2.ProgressEvent.FromString(event.content)
            report = report_from_wire(message)
            self.sessions.fold(report, time_microseconds=event.time_microseconds)
            self.statistics.folded[report.kind] += 1
            if message.traceparent:
                _record_fold(message, event)
        except DecodeError as error:
            self._count_dropped(event, "garbled", str(error))
        except BadReportError as error:
            self._count_dropped(event, "impossible", str(error))
        except Exception:
            # A flaw of the fold: that event is lost, but must not hold up all others for ever.
            log.exception("an event could not be folded", subject=event.subject, sequence=event.sequence)
            self._count_dropped(event, "flaw", "could not be folded")

    def _on_fresh(self, event: StreamEvent) -> None:
        """An event that was delivered as soon as the stream had it tells what the stream's clock says now."""
        skew = event.time_microseconds - time.time_ns() / 1000
        known = self._skew_microseconds
        # The least delayed event tells the most; slowly forgotten, since clocks are set.
        self._skew_microseconds = skew if known is None or skew > known else known + _SKEW_MEMORY * (skew - known)
        self.on_lag(max(0.0, -skew / 1e6))

    def _count_dropped(self, event: StreamEvent, reason: str, why: str) -> None:
        self.statistics.dropped[reason] += 1
        log.warning(
            "report dropped",
            subject=event.subject,
            sequence=event.sequence,
            error=why,
            dropped=self.statistics.dropped.total(),
        )

    async def _fetch_ended(self, session_id: int) -> Session | None:
        """A session that was put away. Raises what the NATS client raises."""
        try:
            return await self._store.load_ended(session_id)
        except UnreadableSnapshotError as error:
            if session_id not in self._unreadable:
                # Once: where no gateway knows the session either, asking at every reading helps nobody.
                self._unreadable.add(session_id)
                log.warning("snapshot of an ended session left aside", session_id=session_id, error=str(error))
                self.reannouncement.want(why="the snapshot of an ended session is unreadable")
            return None

    async def _keep_snapshots(self) -> None:
        has_buckets = True
        while True:
            await self._until_snapshots_are_due()
            await self._until_connected()
            try:
                if not has_buckets and await self._store.open():
                    log.warning("the snapshots were lost: writing all again", sessions=len(self.sessions.in_memory))
                    self.sessions.unsaved |= self.sessions.in_memory.keys()
                    self.reannouncement.want(why="the snapshots were lost")
                has_buckets = True
                await self.keeper.save()
                if self.caught_up.is_set():
                    await self.keeper.evict(now_microseconds=self._now_microseconds)
            except _NATS_TROUBLE as error:
                log.warning("snapshots could not be written; trying again", error=repr(error))
                has_buckets = False

    async def _until_snapshots_are_due(self) -> None:
        """Wait for the interval: longer while everything changes because the stream is being caught up with.

        Once it is, snapshots are due at once: a process that is killed again soon must not begin where this one did.
        """
        seconds = self._settings.snapshot_seconds
        if self.caught_up.is_set():
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(_CATCHING_UP * seconds):
                await self.caught_up.wait()
        except TimeoutError:
            log.info("catching up", events=self.statistics.folded.total(), sequence=self._sequence)

    async def _tick(self) -> None:
        """Have sessions find out that nothing goes on any more, until cancelled.

        While events cannot come, their silence says nothing.
        """
        await self.caught_up.wait()
        while True:
            if not self._hears_events:
                await asyncio.sleep(_TICK_SECONDS)
                continue
            now = round(self._now_microseconds)
            for session_id, session in self.sessions.in_memory.items():
                if session.tick(now):
                    self.sessions.touch(session_id)
            await asyncio.sleep(_TICK_SECONDS)


async def _end_for_good(parts: Collection[asyncio.Task[None]]) -> None:
    """Once cancelled, cancel the parts until they have ended: a task group does so once only.

    In Python 3.11 a cancellation that meets an answer of NATS is lost (`asyncio.wait_for` returns the answer).
    """
    try:
        await asyncio.wait(parts)
    finally:
        while not all(part.done() for part in parts):
            for part in parts:
                part.cancel()
            await asyncio.wait(parts, timeout=_CANCEL_AGAIN_SECONDS)
