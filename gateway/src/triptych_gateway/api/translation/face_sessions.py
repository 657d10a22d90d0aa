"""Face sessions as bodies and as events: out of the unified progress of their training session."""

from triptych_gateway.api import schemas
from triptych_gateway.api.event_stream import StreamEvent
from triptych_gateway.api.snapshots import TERMINAL, Snapshot
from triptych_gateway.catalog.sessions.face_sessions import FaceSession


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
        status=_status(progress),
        total_images=phase.progress.total,
        processed_images=phase.progress.current,
        failed_images=phase.failed,
        faces_detected=phase.stats.get("facesDetected", 0),
        faces_assigned=stored.faces_in_groups,
        min_confidence=None,
        min_face_size=None,
        batch_size=stored.shard_size,
        last_error=_last_error(progress),
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


def _status(progress: schemas.UnifiedProgress) -> schemas.FaceSessionStatus:
    """The phase's; where its session ended before it began, that end, so that nobody waits for it."""
    status, overall = progress.phases.face_detection.status, progress.overall_status
    if status == "pending" and overall in TERMINAL:
        return "cancelled" if overall == "cancelled" else "failed"
    return "processing" if status == "running" else status


def _last_error(progress: schemas.UnifiedProgress) -> str | None:
    for phase in (progress.phases.face_detection, progress.phases.training):
        if phase.error is not None:
            return phase.error.message
    return None


def face_session_event(stored: FaceSession, snapshot: Snapshot) -> StreamEvent:
    """What a snapshot of the training session tells of the face session.

    The last event has an id that later phases do not change, so that a reader that has it is known for that.
    """
    progress = schemas.UnifiedProgress.model_validate_json(snapshot.content)
    body, run = face_session_body(stored, progress), progress.phases.face_detection.run
    is_last = body.status in TERMINAL
    content = body.model_dump_json(by_alias=True).encode()
    return StreamEvent(
        status=body.status,
        id=f"{run}-{body.status}-{body.processed_images}" if is_last else str(snapshot.revision),
        content=content,
        news=content,
    )
