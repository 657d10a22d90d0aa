"""The contract's bodies. JSON keys are camelCase; request bodies accept snake_case too."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic.alias_generators import to_camel

from triptych_common.media.decoding import PHOTO_EXTENSIONS


def utc(value: datetime) -> str:
    """A moment as ISO 8601 in UTC, to the millisecond, with a trailing Z."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[datetime, PlainSerializer(utc, return_type=str, when_used="json")]
"""ISO 8601 in UTC with a trailing Z."""

MAX_ID = 2**63 - 1
"""Largest id that PostgreSQL's bigint holds."""


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("a text holds no NUL character")
    return value


Line = Annotated[str, AfterValidator(_without_nul)]
"""Text that can be stored."""


def _path(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a path is a string")  # noqa: TRY004 - pydantic reports ValueErrors
    if not 1 <= len(value) <= 4096:
        raise ValueError("a path has 1 to 4096 characters")
    return value


# Not pydantic's own str: that refuses lone surrogates, which are how bytes that are no UTF-8 travel in JSON.
DirectoryPath = Annotated[
    str,
    PlainValidator(_path, json_schema_input_type=str),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 4096}),
]
"""A directory as a client names it; a byte 0xNN that is not UTF-8 travels as the escape ``\\udcNN`` (PEP 383)."""

PhaseName = Literal["training", "face_detection", "clustering"]
PhaseStatus = Literal["pending", "running", "processing", "paused", "completed", "failed", "cancelled"]
OverallStatus = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
SessionStatus = Literal["pending", "discovering", "running", "paused", "completed", "cancelled", "failed"]
Weighting = Literal["fixed", "calibrated"]
JobStatus = Literal["pending", "running", "completed", "failed", "cancelled", "skipped"]


class Body(BaseModel):
    """A JSON object of the contract."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


ItemT = TypeVar("ItemT")


class Page(Body, Generic[ItemT]):
    """A page of a list."""

    items: list[ItemT]
    total: int = Field(ge=0)
    page: int = Field(ge=1, description="Number of this page, from 1.")
    page_size: int = Field(ge=1)
    has_more: bool

    @classmethod
    def of(cls, items: list[ItemT], *, total: int, page: int, page_size: int) -> "Page[ItemT]":
        """A page with ``has_more`` worked out."""
        return cls(items=items, total=total, page=page, page_size=page_size, has_more=page * page_size < total)


class ErrorBody(Body):
    """What went wrong, for programs."""

    code: str
    message: str
    details: dict[str, Any]


class Error(Body):
    """The one error object: ``detail`` is FastAPI's, ``message`` one sentence for a person."""

    detail: Any
    message: str
    error: ErrorBody


class SessionConfig(Body):
    """How a session looks for photos."""

    recursive: bool = True
    extensions: list[Line] | None = Field(
        default=None,
        max_length=64,
        description="Extensions to take, such as .jpg; all that are read where it is null.",
        examples=[sorted(PHOTO_EXTENSIONS)[:3]],
    )
    batch_size: int | None = Field(default=None, ge=1, le=1024, description="Photos per shard.")
    weighting: Weighting | None = Field(
        default=None,
        description="How the phases weigh in the overall percentage: as configured, or by their share of the expected"
        " time, fixed when the session begins. The gateway's setting where it is null.",
    )


class SessionCreate(Body):
    """A session to create."""

    name: Line = Field(min_length=1, max_length=200)
    root_path: DirectoryPath = Field(description="Absolute path under a media root.")
    category_id: int | None = Field(default=None, ge=1, le=MAX_ID)
    subdirectories: list[DirectoryPath] = Field(
        default_factory=list,
        max_length=10_000,
        description="Directories under the root to take, absolute or relative to it; all where empty.",
    )
    config: SessionConfig = Field(default_factory=SessionConfig)


class CategorySummary(Body):
    """A session's category."""

    id: int
    name: str
    description: str | None
    color: str | None
    is_default: bool
    created_at: Time
    updated_at: Time


class Session(Body):
    """A session."""

    id: int
    name: str
    status: SessionStatus
    root_path: str
    category_id: int | None
    category: CategorySummary | None
    config: SessionConfig
    total_images: int
    processed_images: int
    failed_images: int
    skipped_images: int
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    paused_at: Time | None


class SessionAction(Body):
    """What pressing a button came to."""

    session_id: int
    status: OverallStatus
    message: str


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
    elapsed_seconds: float | None
    started_at: Time | None
    completed_at: Time | None


class Phases(Body):
    """The three phases."""

    training: PhaseProgress
    face_detection: PhaseProgress
    clustering: PhaseProgress


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
    elapsed_seconds: float | None


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


class Problem(Body):
    """A folder or file that discovery could not read."""

    path: str
    code: str
    message: str


class Box(Body):
    """A rectangle in shares of the upright photo."""

    x: float
    y: float
    width: float
    height: float


class Face(Body):
    """A face."""

    id: int
    asset_id: int
    path: str
    person_id: int | None
    group_id: int | None
    box: Box
    score: float
    probability: float | None
    model: str
    image_url: str
    crop_url: str


class Group(Body):
    """Faces that are the same person."""

    id: int
    face_count: int
    cohesion: float
    person_id: int | None
    model: str
    sample_faces: list[Face]


class GroupDetail(Group):
    """A group with all its faces."""

    faces: list[Face]


class ServiceHealth(Body):
    """One service as the gateway sees it."""

    status: Literal["ok", "away"]
    model: str | None = None
    device: str | None = None
    pack: str | None = None
    notice: str | None = None


class Health(Body):
    """The gateway itself, and what is behind it."""

    status: Literal["ok"]
    services: dict[str, ServiceHealth]
