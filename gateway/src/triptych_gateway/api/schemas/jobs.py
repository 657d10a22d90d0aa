"""Bodies of jobs: one per photo of a session."""

from pydantic import Field

from triptych_gateway.api.schemas.base import Body, Time
from triptych_gateway.api.schemas.words import JobStatus, PhaseName


class Job(Body):
    """One photo of a session."""

    id: int
    session_id: int
    asset_id: int
    status: JobStatus
    rq_job_id: str | None
    progress: int = Field(ge=0, le=100)
    error_message: str | None
    error_code: str | None
    error_phase: PhaseName | None
    processing_time_ms: int | None
    image_path: str
    skip_reason: str | None
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
