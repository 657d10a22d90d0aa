"""Bodies of face sessions."""

from typing import Literal

from pydantic import Field

from triptych_gateway.api.schemas.base import Body, Time

FaceSessionStatus = Literal["pending", "processing", "completed", "failed", "paused", "cancelled"]


class FaceSession(Body):
    """The face-detection phase of a training session, seen by itself."""

    id: int = Field(description="Stays the same when the phase is restarted; the numbers are those of its latest run.")
    training_session_id: int
    status: FaceSessionStatus = Field(
        description="That of the phase; failed or cancelled also where the training session ended so before it began."
    )
    total_images: int = Field(ge=0)
    processed_images: int = Field(ge=0, description="Photos that need no more work: done, skipped or failed.")
    failed_images: int = Field(ge=0)
    faces_detected: int = Field(ge=0, description="Faces found in the session's photos.")
    faces_assigned: int = Field(ge=0, description="Faces in the session's photos that are in a group.")
    min_confidence: float | None = Field(description="Least score of a face; null where the model does not tell.")
    min_face_size: int | None = Field(description="Least side of a face in pixels; null where the model does not tell.")
    batch_size: int = Field(ge=1, description="Photos per shard.")
    last_error: str | None = Field(description="Why the phase, or training before it, failed.")
    created_at: Time = Field(description="When the training session was created.")
    started_at: Time | None
    completed_at: Time | None
    job_id: str | None = Field(description="Always null: a phase is no job of a queue.")
    faces_assigned_to_persons: int = Field(
        ge=0, description="Faces in the session's photos that are shown as a person, by clustering or by hand."
    )
    clusters_created: int = Field(ge=0, description="Groups that the session's clustering has found.")
    suggestions_created: int = Field(ge=0, description="Always 0: what clustering finds is shown at once.")
    current_batch: int = Field(ge=0, description="The shard that would be at work if photos were taken in order.")
    total_batches: int = Field(ge=0, description="Shards of the photos that needed work.")
    progress_percent: float = Field(ge=0, le=100)
