"""Snapshots in NATS's key-value store: one key per session, and one for the position that all of them cover."""

import contextlib
from typing import Final

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.kv import KeyValue

from triptych_common.events import SNAPSHOT_BUCKET
from triptych_common.logging import get_logger
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


class SnapshotStore:
    """The bucket of snapshots. Every method raises what the NATS client raises."""

    def __init__(self, jetstream: JetStreamContext, *, replicas: int) -> None:
        self._jetstream = jetstream
        self._replicas = replicas
        self._opened: KeyValue | None = None

    async def open(self) -> bool:
        """Find the bucket, or make it; tells whether it was made, and so is empty."""
        try:
            self._opened = await self._jetstream.key_value(SNAPSHOT_BUCKET)
        except nats.js.errors.NotFoundError:
            self._opened = await self._jetstream.create_key_value(
                KeyValueConfig(bucket=SNAPSHOT_BUCKET, history=1, replicas=self._replicas)
            )
            return True
        return False

    async def load(self) -> tuple[dict[int, Session], Position]:
        """All sessions by id, and the position from which on the stream must be folded into them.

        One that cannot be read is left out, and the stream is folded from its start: the others take no harm from it.
        """
        sessions: dict[int, Session] = {}
        position = await self._load_position()
        for key in await self._session_keys():
            with contextlib.suppress(nats.js.errors.KeyNotFoundError):
                content = (await self._bucket.get(key)).value or b""
                try:
                    sessions[int(key)] = decode_session(content)[0]
                except (UnreadableSnapshotError, ValueError) as error:
                    log.warning("snapshot left aside: folding the whole stream", session_id=key, error=str(error))
                    position = Position()
        return sessions, position

    async def save(self, session_id: int, session: Session, *, position: Position) -> None:
        """Replace a session's snapshot, unless another replica has written one that was folded further."""
        key, content = str(session_id), encode_session(session, position=position)
        while True:
            try:
                entry = await self._bucket.get(key)
                with contextlib.suppress(UnreadableSnapshotError):
                    stored = decode_session(entry.value or b"")[1]
                    if stored.covers(position) and stored != position:
                        return
                await self._bucket.update(key, content, last=entry.revision)
            except nats.js.errors.KeyNotFoundError:
                with contextlib.suppress(nats.js.errors.KeyWrongLastSequenceError):
                    await self._bucket.create(key, content)
                    return
            except nats.js.errors.KeyWrongLastSequenceError:
                continue
            else:
                return

    async def save_position(self, position: Position) -> None:
        """Say up to where the stream is folded into the snapshots, now that all of them are saved."""
        await self._bucket.put(_POSITION, encode_position(position))

    async def _load_position(self) -> Position:
        try:
            return decode_position((await self._bucket.get(_POSITION)).value or b"")
        except nats.js.errors.KeyNotFoundError:
            return Position()
        except UnreadableSnapshotError as error:
            log.warning("the position of the snapshots is unreadable: folding the whole stream", error=str(error))
            return Position()

    async def _session_keys(self) -> list[str]:
        try:
            return [key for key in await self._bucket.keys() if key != _POSITION]
        except nats.js.errors.NoKeysError:
            return []

    @property
    def _bucket(self) -> KeyValue:
        if self._opened is None:
            raise RuntimeError("the store is not open yet")
        return self._opened
