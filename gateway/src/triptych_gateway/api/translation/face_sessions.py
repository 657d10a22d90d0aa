"""Face sessions as bodies and as events: out of the unified progress of their training session."""

from triptych_gateway.api import schemas
from triptych_gateway.api.event_stream import StreamEvent
from triptych_gateway.api.snapshots import TERMINAL, Snapshot
from triptych_gateway.catalog.face_sessions import FaceSession


def face_session_body(stored: FaceSession, progress: schemas.UnifiedProgress) -> schemas.FaceSession:
    """A face session; ``progress`` is that of its training session."""
    phase, clustering = progress.phases.face_detection, progress.phases.clustering
    skipped = phase.progress.skipped or 0
    worked, to_work = phase.progress.current - skipped, phase.progress.total - skipped
    batches = -(-to_work // stored.shard_size)
    begun = worked // stored.shard_size + 1 if phase.status == "processing" else -(-worked // stored.shard_size)
    return schemas.FaceSession(
        id=stored.id,
        training_session_id=stored.session_id,
        # "running" is no word of this phase.
        status=phase.status,  # type: ignore[arg-type]
        total_images=phase.progress.total,
        processed_images=phase.progress.current,
        failed_images=phase.failed,
        faces_detected=phase.stats.get("facesDetected", 0),
        faces_assigned=stored.faces_in_groups,
        min_confidence=None,
        min_face_size=None,
        batch_size=stored.shard_size,
        last_error=phase.error.message if phase.error is not None else None,
        created_at=stored.created_at,
        started_at=phase.started_at,
        completed_at=phase.completed_at,
        job_id=None,
        faces_assigned_to_persons=stored.faces_of_persons,
        clusters_created=clustering.stats.get("clustersCreated", 0),
        suggestions_created=0,
        current_batch=min(begun, batches),
        total_batches=batches,
        progress_percent=phase.progress.percentage,
    )


def face_session_event(stored: FaceSession, snapshot: Snapshot) -> StreamEvent:
    """What a snapshot of the training session tells of the face session.

    The last event has an id that later phases do not change, so that a reader that has it is known for that.
    """
    progress = schemas.UnifiedProgress.model_validate_json(snapshot.content)
    body, run = face_session_body(stored, progress), progress.phases.face_detection.run
    status: str = body.status
    if snapshot.is_terminal and status not in TERMINAL:
        # The session ended before the phase began or while it was paused: there is nothing to wait for.
        status = "failed"
    is_last = status in TERMINAL
    content = body.model_dump_json(by_alias=True).encode()
    return StreamEvent(
        status=status,
        id=f"{run}-{status}-{body.processed_images}" if is_last else str(snapshot.revision),
        content=content,
        news=content,
    )
