"""Snapshots in NATS's key-value store, written with compare-and-set: any number of replicas may write the same ones.

One bucket holds the sessions in memory, a key each, and under one more key the position of the stream that all of them
cover. Sessions that ended move to another bucket, so that a start does not take longer the more sessions there ever
were.
"""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.kv import KeyValue

from triptych_common.logging import get_logger
from triptych_common.progress.events import ENDED_BUCKET, SNAPSHOT_BUCKET
from triptych_progress.session import Session
from triptych_progress.snapshots import (
    Position,
    UnreadableSnapshotError,
    decode_position,
    decode_session,
    encode_position,
    encode_session,
)

log = get_logger(__name__)

_POSITION: Final = "position"


class _Bucket:
    """A bucket of sessions; remembers the revisions of its keys, so that writing one again is a single call."""

    def __init__(self, jetstream: JetStreamContext, config: KeyValueConfig) -> None:
        self._jetstream = jetstream
        self._config = config
        self._opened: KeyValue | None = None
        self._revisions: dict[int, int] = {}

    async def open(self) -> bool:
        """Find the bucket, or make it; tells whether it was made, and so is empty."""
        self._revisions.clear()
        try:
            self._opened = await self._jetstream.key_value(self._config.bucket)
        except nats.js.errors.NotFoundError:
            self._opened = await self._jetstream.create_key_value(self._config)
            return True
        return False

    async def entries(self) -> AsyncGenerator[tuple[str, bytes], None]:
        """Keys and values of all that the bucket holds, in one reading."""
        is_read = False
        while not is_read:
            watcher: Any = await self.opened.watchall()
            try:
                while (entry := await watcher.updates()) is not None:
                    is_read = True
                    if entry.operation is not None:
                        continue
                    if entry.key.isdecimal() and entry.revision is not None:
                        self._revisions[int(entry.key)] = entry.revision
                    yield entry.key, entry.value or b""
            finally:
                await watcher.stop()
            # The client may take a reading for finished before it began: the server's answer that nothing is pending
            # can overtake everything that it has just sent.
            is_read = is_read or (await self.opened.status()).values == 0

    async def read(self, session_id: int) -> bytes | None:
        """The value of a key, or None."""
        try:
            entry = await self.opened.get(str(session_id))
        except nats.js.errors.KeyNotFoundError as error:
            # A key that a person deleted has a revision all the same.
            self._revisions[session_id] = (error.entry.revision or 0) if error.entry is not None else 0
            return None
        self._revisions[session_id] = entry.revision or 0
        return entry.value or b""

    async def write(self, session_id: int, session: Session, *, position: Position) -> None:
        """Replace a session's snapshot, unless another replica has written one that was folded further."""
        content = encode_session(session, position=position)
        while True:
            if session_id not in self._revisions:
                stored = await self.read(session_id)
                if stored is not None and _is_folded_further(stored, position):
                    return
            try:
                self._revisions[session_id] = await self.opened.update(
                    str(session_id), content, last=self._revisions[session_id]
                )
            except nats.js.errors.KeyWrongLastSequenceError:
                stored = await self.read(session_id)
                if stored is not None and _is_folded_further(stored, position):
                    return
            else:
                return

    def forget_revision(self, session_id: int) -> None:
        """Remember nothing of a key that will not be written again soon."""
        self._revisions.pop(session_id, None)

    async def remove(self, session_id: int) -> None:
        """Take a key out without a trace, unless another replica has written it since this one read or wrote it."""
        revision = self._revisions.pop(session_id, 0)
        if revision:
            subject = f"$KV.{self._config.bucket}.{session_id}"
            await self._jetstream.purge_stream(f"KV_{self._config.bucket}", seq=revision + 1, subject=subject)

    async def forget(self, session_id: int) -> None:
        """Take a key out without a trace, whoever has written it."""
        self._revisions.pop(session_id, None)
        subject = f"$KV.{self._config.bucket}.{session_id}"
        await self._jetstream.purge_stream(f"KV_{self._config.bucket}", subject=subject)

    @property
    def opened(self) -> KeyValue:
        """The bucket as the client knows it."""
        if self._opened is None:
            raise RuntimeError("the bucket is not open yet")
        return self._opened


class SnapshotStore:
    """The snapshots of sessions. Every method raises what the NATS client raises."""

    def __init__(self, jetstream: JetStreamContext, *, replicas: int, keep_ended_seconds: float) -> None:
        self._live = _Bucket(jetstream, KeyValueConfig(bucket=SNAPSHOT_BUCKET, history=1, replicas=replicas))
        self._ended = _Bucket(
            jetstream, KeyValueConfig(bucket=ENDED_BUCKET, history=1, replicas=replicas, ttl=keep_ended_seconds)
        )

    async def open(self) -> bool:
        """Find the buckets, or make them; tells whether one was made, and so lacks what there ever was to hold."""
        made = [await self._ended.open(), await self._live.open()]
        return any(made)

    async def load(self) -> tuple[dict[int, Session], Position]:
        """The sessions that were in memory, by id, and the position from which on the stream must be folded into them.

        One that cannot be read is left out, and the stream is folded from its start: the others take no harm from it.
        """
        sessions: dict[int, Session] = {}
        position, is_readable = Position(), True
        async with contextlib.aclosing(self._live.entries()) as entries:
            async for key, content in entries:
                try:
                    if key == _POSITION:
                        position = decode_position(content)
                    else:
                        sessions[int(key)] = decode_session(content)[0]
                except (UnreadableSnapshotError, ValueError) as error:
                    log.warning("snapshot left aside: folding the whole stream", key=key, error=str(error))
                    is_readable = False
        return sessions, position if is_readable else Position()

    async def save(self, session_id: int, session: Session, *, position: Position) -> None:
        """Replace the snapshot of a session in memory, unless another replica has folded it further."""
        await self._live.write(session_id, session, position=position)

    async def save_position(self, position: Position) -> None:
        """Say up to where the stream is folded into the snapshots, now that all of them are saved."""
        await self._live.opened.put(_POSITION, encode_position(position))

    async def save_ended(self, session_id: int, session: Session, *, position: Position) -> None:
        """Keep a session that is over where `load_ended` finds it."""
        await self._ended.write(session_id, session, position=position)
        self._ended.forget_revision(session_id)

    async def forget_live(self, session_id: int) -> None:
        """Take a session that is kept as ended out of those that a start loads."""
        await self._live.remove(session_id)

    async def forget(self, session_id: int) -> None:
        """Take the snapshots of a session out of both buckets."""
        await self._live.forget(session_id)
        await self._ended.forget(session_id)

    async def load_ended(self, session_id: int) -> Session | None:
        """A session that is over, or None where it is not known. Raises UnreadableSnapshotError too."""
        content = await self._ended.read(session_id)
        self._ended.forget_revision(session_id)
        return None if content is None else decode_session(content)[0]


def _is_folded_further(stored: bytes, position: Position) -> bool:
    """Whether a stored snapshot holds more events than one folded up to a position does."""
    try:
        folded_to = decode_session(stored)[1]
    except UnreadableSnapshotError:
        return False
    return folded_to.covers(position) and folded_to != position
