"""The names and the stream through which progress travels over NATS."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from triptych.v1 import work_pb2

STREAM = "progress-v1"
SNAPSHOT_BUCKET = "progress-snapshots-v1"
"""Key-value bucket of the sessions that aggregators hold in memory, and of the position that they cover together."""
ENDED_BUCKET = "progress-ended-v1"
"""Key-value bucket of sessions that are over and no longer in memory."""
ALL_SUBJECTS = "progress.v1.>"
REANNOUNCE_SUBJECT = "progress-reannounce.v1"
"""Where an aggregator that has lost its stream or snapshots asks the gateways to announce everything again: a request
without content, which one of them answers with REANNOUNCE_ACCEPTED."""
REANNOUNCE_ACCEPTED = b"accepted"

_DUPLICATE_WINDOW_SECONDS: Final = 120.0
_FORGOTTEN: Final = "forgotten"

PhaseValue: TypeAlias = "work_pb2.Phase.ValueType"
"""A phase as it stands on the wire."""

PHASE_NAMES: dict[int, str] = {
    work_pb2.PHASE_TRAINING: "training",
    work_pb2.PHASE_FACE_DETECTION: "face_detection",
    work_pb2.PHASE_CLUSTERING: "clustering",
}
"""Wire value of each phase → its name, in the order in which phases run."""

PHASES_BY_NAME: dict[str, PhaseValue] = {
    "training": work_pb2.PHASE_TRAINING,
    "face_detection": work_pb2.PHASE_FACE_DETECTION,
    "clustering": work_pb2.PHASE_CLUSTERING,
}


def subject_of(session_id: int, phase: int) -> str:
    """Subject of a session's phase, such as ``progress.v1.17.face_detection``."""
    return f"progress.v1.{session_id}.{PHASE_NAMES[phase]}"


def subjects_of(session_id: int, *, wildcard: str = "*") -> str:
    """All subjects of a session, in NATS's words or in those of another language of patterns."""
    return f"progress.v1.{session_id}.{wildcard}"


def forgotten_subject(session_id: int) -> str:
    """Subject of the one event without content which says that a session is to be forgotten."""
    return f"progress.v1.{session_id}.{_FORGOTTEN}"


def forgotten_session(subject: str) -> int | None:
    """The session that an event under this subject has forgotten; None where it is an event of another kind."""
    head, _, last = subject.rpartition(".")
    return int(head.rpartition(".")[2]) if last == _FORGOTTEN else None


@dataclass(frozen=True, kw_only=True)
class StreamLimits:
    """What the stream holds at most; its oldest events are discarded first."""

    max_age_seconds: float = 7 * 24 * 3600.0
    max_bytes: int = 2**30
    max_event_bytes: int = 64 * 1024
    replicas: int = 1


def stream_config(limits: StreamLimits) -> StreamConfig:
    """The stream that keeps progress events."""
    return StreamConfig(
        name=STREAM,
        subjects=[ALL_SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=limits.max_age_seconds,
        max_bytes=limits.max_bytes,
        max_msg_size=limits.max_event_bytes,
        duplicate_window=min(_DUPLICATE_WINDOW_SECONDS, limits.max_age_seconds),
        num_replicas=limits.replicas,
    )
