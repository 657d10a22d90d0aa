"""Follows the stream of progress events, folds them, keeps snapshots, and tells watchers of changes.

Every replica folds the whole stream from the last snapshots on and can answer; there is no leader. Snapshots go to a
key-value bucket, one key per session, replaced only by what was folded further; the key ``position`` says up to which
sequence of the stream all sessions are covered.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection

import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, KeyValueConfig
from nats.js.kv import KeyValue

from triptych.v1 import progress_event_pb2
from triptych_common.errors import ConfigurationError
from triptych_common.events import ALL_SUBJECTS, SNAPSHOT_BUCKET, STREAM, stream_config
from triptych_common.logging import get_logger
from triptych_progress.messages import report_from_wire
from triptych_progress.reducer import BadReportError
from triptych_progress.session import Session
from triptych_progress.snapshots import UnreadableSnapshotError, decode_session, encode_session

log = get_logger(__name__)

_POSITION = "position"
_WATCHDOG_SECONDS = 2.0
_NATS_TROUBLE = (nats.errors.Error, TimeoutError, OSError)


class Aggregator:
    """Sessions by id, kept up to date from the stream."""

    def __init__(self, client: Client, *, replicas: int, snapshot_seconds: float) -> None:
        self._client = client
        self._jetstream: JetStreamContext = client.jetstream(timeout=5)
        self._replicas = replicas
        self._snapshot_seconds = snapshot_seconds
        self._bucket: KeyValue | None = None
        self._sequence = 0
        self._dirty: set[int] = set()
        self._watchers: set[_Watcher] = set()
        self.sessions: dict[int, Session] = {}
        self.dropped_reports = 0
        """Events that could not be true, since the start of this process."""
        self.caught_up = asyncio.Event()
        """Set once everything that was in the stream at the start is folded."""

    async def run(self) -> None:
        """Restore, follow the stream and keep snapshots, until cancelled."""
        await self._prepare()
        await self._restore()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="follow the stream")
            tasks.create_task(self._keep_snapshots(), name="keep snapshots")

    async def watch(self, session_ids: Collection[int]) -> AsyncIterator[int]:
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
        """Write snapshots of what has changed; for an orderly end."""
        with contextlib.suppress(*_NATS_TROUBLE):
            await self._save()

    async def _prepare(self) -> None:
        """Make sure that stream and bucket exist; an existing stream with other settings is reported, not changed."""
        wanted = stream_config(replicas=self._replicas)
        while True:
            try:
                await self._ensure_stream()
                self._bucket = await self._ensure_bucket()
            except nats.js.errors.ServiceUnavailableError as error:
                raise ConfigurationError(
                    f"NATS answers, but without JetStream ({error.description}): start it with JetStream enabled."
                ) from error
            except _NATS_TROUBLE as error:
                log.warning("waiting for nats", stream=wanted.name, error=repr(error))
                await asyncio.sleep(1)
            else:
                return

    async def _ensure_stream(self) -> None:
        wanted = stream_config(replicas=self._replicas)
        try:
            found = (await self._jetstream.stream_info(STREAM)).config
        except nats.js.errors.NotFoundError:
            await self._jetstream.add_stream(wanted)
            log.info("stream created", stream=STREAM, replicas=self._replicas)
            return
        for setting in ("subjects", "retention", "storage", "max_age", "max_bytes", "num_replicas"):
            if getattr(found, setting) != getattr(wanted, setting):
                log.warning(
                    "the stream has another setting than this version would give it; it is left as it is",
                    stream=STREAM,
                    setting=setting,
                    found=str(getattr(found, setting)),
                    wanted=str(getattr(wanted, setting)),
                )

    async def _ensure_bucket(self) -> KeyValue:
        try:
            return await self._jetstream.key_value(SNAPSHOT_BUCKET)
        except nats.js.errors.NotFoundError:
            return await self._jetstream.create_key_value(
                KeyValueConfig(bucket=SNAPSHOT_BUCKET, history=1, replicas=self._replicas)
            )

    async def _restore(self) -> None:
        """Load snapshots; the stream is followed from the position that they all cover."""
        bucket = self._require_bucket()
        try:
            keys = [key for key in await bucket.keys() if key != _POSITION]
        except nats.js.errors.NoKeysError:
            keys = []
        for key in keys:
            entry = await bucket.get(key)
            try:
                session, _ = decode_session(entry.value or b"")
            except UnreadableSnapshotError as error:
                log.warning("snapshot left aside; folding the whole stream again", session_id=key, error=str(error))
                self.sessions.clear()
                return
            self.sessions[int(key)] = session
        with contextlib.suppress(nats.js.errors.KeyNotFoundError):
            self._sequence = int((await bucket.get(_POSITION)).value or b"0")
        log.info("restored", sessions=len(self.sessions), sequence=self._sequence)

    async def _follow(self) -> None:
        """Consume the stream; begin again from the last folded sequence whenever deliveries stop coming."""
        while True:
            try:
                await self._consume()
            except _NATS_TROUBLE as error:
                log.warning("following the stream again", sequence=self._sequence, error=repr(error))
                await asyncio.sleep(0.5)

    async def _consume(self) -> None:
        last = (await self._jetstream.stream_info(STREAM)).state.last_seq
        if last < self._sequence:
            log.warning("the stream was lost: folding from its new start", had=self._sequence, has=last)
            self._sequence = 0
        subscription = await self._jetstream.subscribe(
            ALL_SUBJECTS,
            stream=STREAM,
            cb=self._on_message,
            ordered_consumer=True,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._sequence + 1,
                ack_policy=AckPolicy.NONE,
            ),
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )
        try:
            while True:
                before = self._sequence
                if before >= (await self._jetstream.stream_info(STREAM)).state.last_seq:
                    self.caught_up.set()
                await asyncio.sleep(_WATCHDOG_SECONDS if self.caught_up.is_set() else 0.02)
                last = (await self._jetstream.stream_info(STREAM)).state.last_seq
                if last < self._sequence or (self.caught_up.is_set() and self._sequence == before < last):
                    log.warning("deliveries stopped", sequence=self._sequence, stream=last)
                    return
        finally:
            with contextlib.suppress(*_NATS_TROUBLE):
                await subscription.unsubscribe()

    async def _on_message(self, message: Msg) -> None:
        metadata = message.metadata
        sequence = metadata.sequence.stream
        if sequence <= self._sequence:
            return
        event = progress_event_pb2.ProgressEvent()
        try:
            event.ParseFromString(message.data)
            report = report_from_wire(event)
            session = self.sessions.get(report.session_id) or Session()
            changed = session.apply(report, time_microseconds=int(metadata.timestamp.timestamp() * 1e6))
        except (DecodeError, BadReportError) as error:
            self.dropped_reports += 1
            log.warning("report dropped", subject=message.subject, sequence=sequence, error=str(error))
            changed = False
        self._sequence = sequence
        if changed:
            self.sessions[report.session_id] = session
            self._dirty.add(report.session_id)
            for watcher in self._watchers:
                watcher.tell(report.session_id)

    async def _keep_snapshots(self) -> None:
        while True:
            await asyncio.sleep(self._snapshot_seconds)
            try:
                await self._save()
            except _NATS_TROUBLE as error:
                log.warning("snapshots could not be written; trying again", error=repr(error))

    async def _save(self) -> None:
        """Write every changed session, then the position that they cover together."""
        if not self._dirty:
            return
        bucket = self._require_bucket()
        sequence, dirty = self._sequence, self._dirty
        self._dirty = set()
        saved = set()
        try:
            for session_id in dirty:
                content = encode_session(self.sessions[session_id], sequence=sequence)
                await _put_if_further(bucket, str(session_id), content, sequence=sequence)
                saved.add(session_id)
        finally:
            self._dirty |= dirty - saved
        await bucket.put(_POSITION, str(sequence).encode())

    def _require_bucket(self) -> KeyValue:
        if self._bucket is None:
            raise RuntimeError("the aggregator is not prepared yet")
        return self._bucket


async def _put_if_further(bucket: KeyValue, key: str, content: bytes, *, sequence: int) -> None:
    """Replace a snapshot unless another replica has written one that was folded as far or further."""
    while True:
        try:
            entry = await bucket.get(key)
        except nats.js.errors.KeyNotFoundError:
            revision = None
        else:
            with contextlib.suppress(UnreadableSnapshotError):
                if decode_session(entry.value or b"")[1] > sequence:
                    return
            revision = entry.revision
        try:
            await bucket.update(key, content, last=revision)
        except nats.js.errors.KeyWrongLastSequenceError:
            continue
        return


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
