"""The names and the stream through which progress travels over NATS."""

from typing import TypeAlias

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from triptych.v1 import work_pb2

STREAM = "progress-v1"
SNAPSHOT_BUCKET = "progress-snapshots-v1"
ALL_SUBJECTS = "progress.v1.>"

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


def stream_config(*, replicas: int) -> StreamConfig:
    """The stream that keeps progress events: a week or 1 GiB of them, oldest discarded first."""
    return StreamConfig(
        name=STREAM,
        subjects=[ALL_SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=7 * 24 * 3600,
        max_bytes=2**30,
        max_msg_size=64 * 1024,
        duplicate_window=120,
        num_replicas=replicas,
    )
