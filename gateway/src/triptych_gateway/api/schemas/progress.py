"""Bodies of progress."""

from typing import Literal

from pydantic import Field, computed_field

from triptych_gateway.api.schemas.base import Body, Time
from triptych_gateway.api.schemas.words import OverallStatus, PhaseName, PhaseStatus, SessionStatus, Weighting


class Stats(Body):
    """Progress of one phase. Training and face detection count photos, clustering counts faces."""

    current: int = Field(ge=0, description="Items that need no more work: done, skipped or failed.")
    total: int = Field(ge=0)
    percentage: float = Field(ge=0, le=100)
    eta_seconds: int | None = Field(ge=0)
    images_per_minute: float | None = Field(ge=0)
    unique: int | None
    skipped: int | None


class RunError(Body):
    """Why a phase failed."""

    code: str
    message: str


class Model(Body):
    """A model at work."""

    id: str
    name: str | None = None
    pack: str
    device: str
    notice: str | None


class PhaseProgress(Body):
    """One phase."""

    name: PhaseName
    status: PhaseStatus
    progress: Stats
    weight: float
    failed: int
    error: RunError | None
    stats: dict[str, int]
    stage: str | None
    model: Model | None
    run: int
    elapsed_seconds: float | None = Field(description="From its start until it ended, or until now; pauses are in it.")
    started_at: Time | None
    completed_at: Time | None


class Phases(Body):
    """The three phases."""

    training: PhaseProgress
    face_detection: PhaseProgress
    clustering: PhaseProgress

    @computed_field(alias="face_detection", description="The same as `faceDetection`.")  # type: ignore[prop-decorator]
    @property
    def face_detection_alias(self) -> PhaseProgress:
        """The name that the shipped frontend reads; `aliases.with_aliases` sends it."""
        return self.face_detection


class Stall(Body):
    """That nothing goes on where it should."""

    phase: PhaseName
    since: Time = Field(description="When work was last seen.")
    seconds: int = Field(ge=0)
    message: str = Field(description='One sentence for a person, such as "no progress for 40 s".')


class OverallProgress(Body):
    """Progress over all phases."""

    percentage: float = Field(ge=0, le=100)
    eta_seconds: int | None
    eta_low_seconds: int | None
    eta_high_seconds: int | None
    eta_confidence: Literal["low", "medium", "high"] | None
    current_phase: Literal["training", "face_detection", "clustering", "completed"]
    weighting: Weighting = Field(description="How the phases' weights were chosen.")
    stall: Stall | None
    started_at: Time | None
    elapsed_seconds: float | None = Field(
        description="From its start until it ended or was paused, or until now; pauses before that are in it."
    )


class UnifiedProgress(Body):
    """The one honest progress of a session."""

    session_id: int
    overall_status: OverallStatus
    overall_progress: OverallProgress
    phases: Phases
    revision: int = Field(description="Only grows.")
    updated_at: Time
    stale: bool = Field(description="True where something is away and this is what was known last.")


class JobsSummary(Body):
    """Photos of a session by status."""

    pending: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0


class LegacyProgress(Body):
    """The older progress: training only."""

    session_id: int
    status: SessionStatus
    progress: Stats
    jobs_summary: JobsSummary
