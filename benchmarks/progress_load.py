"""Progress events as the pipeline and its workers send them, for many sessions at once, and a fast way to the stream.

A session has `photos` photos in shards of `SHARD_PHOTOS`; the workers report a shard after every `BATCH_PHOTOS`. The
sessions take turns, so that every event touches another session than the one before it.
"""

import json
import socket
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from triptych.v1 import progress_event_pb2, work_pb2
from triptych_common.progress.events import subject_of

SHARD_PHOTOS: Final = 64
BATCH_PHOTOS: Final = 8
WEIGHTS: Final = {work_pb2.PHASE_TRAINING: 0.3, work_pb2.PHASE_FACE_DETECTION: 0.65, work_pb2.PHASE_CLUSTERING: 0.05}
_PHOTO_PHASES: Final = (work_pb2.PHASE_TRAINING, work_pb2.PHASE_FACE_DETECTION)
_FLUSH_BYTES: Final = 1 << 20

Message = tuple[str, str, bytes]
"""Subject, Nats-Msg-Id and content."""


def session_messages(session_id: int, *, photos: int, running: bool = False) -> Iterator[Message]:
    """Everything that is sent about a session; a running one ends before its last phase is over."""
    steps = iter(range(1, 100))
    for phase in WEIGHTS:
        yield _lifecycle(session_id, phase, next(steps), progress_event_pb2.RUN_STATE_PENDING, photos)
    for phase in _PHOTO_PHASES:
        yield _lifecycle(session_id, phase, next(steps), progress_event_pb2.RUN_STATE_RUNNING, photos)
        for shard, first in enumerate(range(0, photos, SHARD_PHOTOS)):
            total = min(SHARD_PHOTOS, photos - first)
            for done in range(BATCH_PHOTOS, total + BATCH_PHOTOS, BATCH_PHOTOS):
                yield _counts(session_id, phase, f"shard-{shard}", min(done, total), total)
        yield _lifecycle(session_id, phase, next(steps), progress_event_pb2.RUN_STATE_COMPLETED, photos)
    clustering = work_pb2.PHASE_CLUSTERING
    yield _lifecycle(session_id, clustering, next(steps), progress_event_pb2.RUN_STATE_RUNNING, photos)
    if not running:
        yield _lifecycle(session_id, clustering, next(steps), progress_event_pb2.RUN_STATE_COMPLETED, photos)


def in_turns(sessions: Iterable[Iterator[Message]]) -> Iterator[Message]:
    """One message of each session after the other, until all are at their end."""
    for turn in zip_longest(*sessions):
        yield from (message for message in turn if message is not None)


def photos_for(events: int) -> int:
    """Photos of a session about which so many events are sent."""
    return max(1, events // len(_PHOTO_PHASES)) * BATCH_PHOTOS


class Connection:
    """A bare connection to NATS that publishes as fast as the server takes it."""

    def __init__(self, port: int, *, user: str = "", password: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._reader = self._socket.makefile("rb")
        self._reader.readline()
        options = {"verbose": False, "headers": True, "no_responders": False, "user": user, "pass": password}
        self._socket.sendall(f"CONNECT {json.dumps(options)}\r\n".encode())

    @classmethod
    def to_url(cls, url: str) -> Self:
        """A connection to a server on this machine, with the credentials of its URL."""
        parts = urlsplit(url)
        return cls(parts.port or 4222, user=unquote(parts.username or ""), password=unquote(parts.password or ""))

    def publish(self, messages: Iterable[Message]) -> int:
        """Publish, and wait until the server has taken all; their number."""
        frames = bytearray()
        number = 0
        for subject, identity, content in messages:
            number += 1
            header = f"NATS/1.0\r\nNats-Msg-Id: {identity}\r\n\r\n".encode()
            frames += f"HPUB {subject} {len(header)} {len(header) + len(content)}\r\n".encode()
            frames += header + content + b"\r\n"
            if len(frames) > _FLUSH_BYTES:
                self._flush(frames)
                frames.clear()
        self._flush(frames)
        return number

    def close(self) -> None:
        """End the connection."""
        self._reader.close()
        self._socket.close()

    def _flush(self, frames: bytearray) -> None:
        self._socket.sendall(bytes(frames) + b"PING\r\n")
        while (line := self._reader.readline()) != b"PONG\r\n":
            if line == b"PING\r\n":
                self._socket.sendall(b"PONG\r\n")
            elif not line or line.startswith(b"-ERR"):
                raise ConnectionError(f"NATS ended the connection: {line!r}")


def _lifecycle(
    session_id: int,
    phase: "work_pb2.Phase.ValueType",
    step: int,
    state: "progress_event_pb2.RunState.ValueType",
    photos: int,
) -> Message:
    life = progress_event_pb2.Lifecycle(epoch=1, step=step, state=state, total=photos, weight=WEIGHTS[phase])
    event = progress_event_pb2.ProgressEvent(
        session_id=session_id, phase=phase, run=1, source="pipeline", lifecycle=life, worker="benchmark"
    )
    return subject_of(session_id, phase), f"{session_id}.{phase}.{step}", event.SerializeToString()


def _counts(session_id: int, phase: "work_pb2.Phase.ValueType", unit: str, done: int, total: int) -> Message:
    event = progress_event_pb2.ProgressEvent(
        session_id=session_id,
        phase=phase,
        run=1,
        source="embedder",
        unit=unit,
        counts=progress_event_pb2.UnitCounts(done=done, total=total),
        worker="benchmark/4711/abcdef",
    )
    event.reported_at.GetCurrentTime()
    return subject_of(session_id, phase), f"{session_id}.{phase}.{unit}.{done}", event.SerializeToString()
