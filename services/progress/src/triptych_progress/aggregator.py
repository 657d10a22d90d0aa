"""Follows the stream of progress events, folds them, keeps snapshots, and tells watchers of changes.

Every replica folds the whole stream from the last snapshots on and can answer; there is no leader. While NATS is away
it answers from what it has; where NATS comes back without its data it makes the stream anew and goes on.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import Final

import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamInfo

from triptych.v1 import progress_event_pb2
from triptych_common.errors import ConfigurationError
from triptych_common.events import STREAM, stream_config
from triptych_common.logging import get_logger
from triptych_progress.messages import report_from_wire
from triptych_progress.reducer import BadReportError
from triptych_progress.session import Session
from triptych_progress.snapshot_store import SnapshotStore
from triptych_progress.snapshots import Position
from triptych_progress.stream import Delivery, StreamEvent

log = get_logger(__name__)

_REQUEST_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.5
_JETSTREAM_GRACE_SECONDS: Final = 2.0
"""How long NATS may answer without JetStream before it is taken for set up so."""
_LAST_SAVE_SECONDS: Final = 0.8
_WITHOUT_JETSTREAM: Final = (None, 10039, 10076)
"""Error codes of a server without JetStream: nobody responds, not enabled for the account, not enabled."""
_NATS_TROUBLE: Final = (nats.errors.Error, TimeoutError, OSError)
_SETTINGS: Final = (
    "subjects",
    "retention",
    "storage",
    "discard",
    "max_age",
    "max_bytes",
    "max_msg_size",
    "duplicate_window",
    "num_replicas",
)


class Aggregator:
    """Sessions by id, kept up to date from the stream."""

    def __init__(self, client: Client, *, replicas: int, snapshot_seconds: float) -> None:
        self._client = client
        self._jetstream: JetStreamContext = client.jetstream(timeout=_REQUEST_SECONDS)
        self._store = SnapshotStore(self._jetstream, replicas=replicas)
        self._replicas = replicas
        self._snapshot_seconds = snapshot_seconds
        self._position = Position()
        self._saved_position = Position()
        self._dirty: set[int] = set()
        self._watchers: set[_Watcher] = set()
        self.sessions: dict[int, Session] = {}
        self.dropped_reports = 0
        """Events that could not be true, since the start of this process."""
        self.caught_up = asyncio.Event()
        """Set once everything that was in the stream at the start is folded."""

    async def run(self) -> None:
        """Restore, follow the stream and keep snapshots, until cancelled.

        Raises ConfigurationError where NATS has no JetStream, and ConnectionClosedError (later in an ExceptionGroup)
        where NATS closed the connection for good.
        """
        await self._prepare()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="follow the stream")
            tasks.create_task(self._keep_snapshots(), name="keep snapshots")

    async def watch(self, session_ids: Collection[int]) -> AsyncGenerator[int, None]:
        """Ids of sessions: first all that are watched and known, then each that has changed since it was last given.

        Watches all sessions where ``session_ids`` is empty. Changes that were not read yet collapse.
        """
        watcher = _Watcher(frozenset(session_ids))
        self._watchers.add(watcher)
        try:
            for session_id in list(self.sessions):
                watcher.tell(session_id)
            while True:
                yield await watcher.next()
        finally:
            self._watchers.discard(watcher)

    async def save_now(self) -> None:
        """Write snapshots of what has changed, if that can be done at once; for an orderly end."""
        try:
            async with asyncio.timeout(_LAST_SAVE_SECONDS):
                await self._save()
        except _NATS_TROUBLE as error:
            log.warning("snapshots left unwritten", sessions=len(self._dirty), error=repr(error))

    async def _prepare(self) -> None:
        """Make sure that stream and bucket are there, and load the snapshots; wait for NATS as long as it takes."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            try:
                await self._ensure_stream()
                await self._store.open()
                self.sessions, self._position = await self._store.load()
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
                log.info("restored", sessions=len(self.sessions), sequence=self._position.sequence)
                return

    async def _ensure_stream(self) -> StreamInfo:
        """Find the stream, or make it. One with other settings is reported and left as it is."""
        wanted = stream_config(replicas=self._replicas)
        try:
            info = await self._jetstream.stream_info(STREAM)
        except nats.js.errors.NotFoundError:
            info = await self._jetstream.add_stream(wanted)
            log.info("stream made", stream=STREAM, replicas=self._replicas)
        for setting in _SETTINGS:
            found = getattr(info.config, setting)
            if found != getattr(wanted, setting):
                log.warning(
                    "the stream has another setting than this version would give it; it is left as it is",
                    stream=STREAM,
                    setting=setting,
                    found=str(found),
                    wanted=str(getattr(wanted, setting)),
                )
        return info

    async def _follow(self) -> None:
        """Fold what the stream delivers; begin again after the last folded event whenever deliveries are lost."""
        while True:
            await self._until_connected()
            try:
                self._find_position(await self._ensure_stream())
                await Delivery(self._client, self._jetstream, take=self._on_event).run(
                    after=self._position.sequence, on_nothing_pending=self.caught_up.set
                )
            except _NATS_TROUBLE as error:
                log.warning("following the stream again", sequence=self._position.sequence, error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _until_connected(self) -> None:
        """Wait for the connection. Raises ConnectionClosedError where the client has given it up."""
        while not self._client.is_connected:
            if self._client.is_closed:
                raise nats.errors.ConnectionClosedError
            await asyncio.sleep(0.05)

    def _find_position(self, stream: StreamInfo) -> None:
        """Where to go on in a stream: after what is folded, or from the start if it is not the stream it was."""
        made, last = str(stream.created).replace(" ", "T"), stream.state.last_seq
        is_the_same = made == self._position.stream.partition(" ")[0]
        if is_the_same and last >= self._position.sequence:
            if stream.state.first_seq > self._position.sequence + 1:
                log.warning(
                    "the stream has discarded events that were not folded",
                    folded=self._position.sequence,
                    first=stream.state.first_seq,
                )
            return
        if self._position.stream:
            log.warning("the stream lost events: going on with what it has", had=self._position.sequence, has=last)
        # A stream cut short gives its sequences out again, so positions in it must not compare with those before.
        self._position = Position(stream=f"{made} cut at {last}" if is_the_same else made)
        self._dirty |= self.sessions.keys()

    def _on_event(self, event: StreamEvent) -> None:
        try:
            self._fold(event)
        except (DecodeError, BadReportError) as error:
            self._count_dropped(event, str(error))
        except Exception:
            # A flaw of the fold: that event is lost, but must not hold up all others for ever.
            log.exception("an event could not be folded", subject=event.subject, sequence=event.sequence)
            self._count_dropped(event, "could not be folded")
        self._position = Position(stream=self._position.stream, sequence=event.sequence)
        if event.pending == 0:
            self.caught_up.set()

    def _count_dropped(self, event: StreamEvent, why: str) -> None:
        self.dropped_reports += 1
        log.warning(
            "report dropped", subject=event.subject, sequence=event.sequence, error=why, dropped=self.dropped_reports
        )

    def _fold(self, event: StreamEvent) -> None:
        """Fold one event. Raises DecodeError and BadReportError, and then has changed nothing."""
        report = report_from_wire(progress_event_pb2.ProgressEvent.FromString(event.content))
        session = self.sessions.get(report.session_id) or Session()
        if not session.apply(report, time_microseconds=event.time_microseconds):
            return
        self.sessions[report.session_id] = session
        self._dirty.add(report.session_id)
        for watcher in self._watchers:
            watcher.tell(report.session_id)

    async def _keep_snapshots(self) -> None:
        has_bucket = True
        while True:
            await asyncio.sleep(self._snapshot_seconds)
            await self._until_connected()
            try:
                if not has_bucket and await self._store.open():
                    log.warning("the snapshots were lost: writing all again", sessions=len(self.sessions))
                    self._dirty |= self.sessions.keys()
                has_bucket = True
                await self._save()
            except _NATS_TROUBLE as error:
                log.warning("snapshots could not be written; trying again", error=repr(error))
                has_bucket = False

    async def _save(self) -> None:
        """Write every changed session, then the position that they cover together."""
        position, dirty = self._position, self._dirty
        if not dirty and position == self._saved_position:
            return
        self._dirty = set()
        saved = set()
        try:
            for session_id in dirty:
                await self._store.save(session_id, self.sessions[session_id], position=position)
                saved.add(session_id)
        finally:
            self._dirty |= dirty - saved
        await self._store.save_position(position)
        self._saved_position = position


class _Watcher:
    """One reader's unread changes; a slow reader finds only the newest."""

    def __init__(self, session_ids: frozenset[int]) -> None:
        self._session_ids = session_ids
        self._unread: dict[int, None] = {}
        self._ready = asyncio.Event()

    def tell(self, session_id: int) -> None:
        if not self._session_ids or session_id in self._session_ids:
            self._unread[session_id] = None
            self._ready.set()

    async def next(self) -> int:
        await self._ready.wait()
        session_id = next(iter(self._unread))
        del self._unread[session_id]
        if not self._unread:
            self._ready.clear()
        return session_id
