"""Bodies of sessions."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from triptych_gateway.api.schemas.base import MAX_ID, Body, DirectoryPath, Line, Name, Time
from triptych_gateway.api.schemas.categories import CategorySummary
from triptych_gateway.api.schemas.words import OverallStatus, SessionStatus, Weighting


class SessionConfig(Body):
    """How a session looks for photos."""

    recursive: bool = True
    extensions: list[Line] | None = Field(
        default=None,
        max_length=64,
        description="Extensions to take, such as .jpg; all that are read where it is null.",
        examples=[[".jpg", ".heic", ".dng"]],
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


class SessionChange(Body):
    """What to change of a session; what is left out stays, in the config too."""

    name: Name = Field(default_factory=str)
    config: SessionConfig = Field(default_factory=SessionConfig, description="Can change until the session is started.")

    def changes(self) -> dict[str, Any]:
        """The values that were given, and of the config those that were given in it."""
        return self.model_dump(by_alias=False, exclude_unset=True)


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


class Problem(Body):
    """A folder or file that discovery could not read."""

    path: str
    code: str
    message: str


class CleanupStats(BaseModel):
    """What a restart did to results; its keys are in snake_case, as the shipped frontend reads them."""

    operation: Literal["restart_training", "restart_faces", "restart_clustering"]
    session_id: int
    items_deleted: int = Field(description="Persons whose names and corrections go once the new ones are there.")
    items_reset: int = Field(description="Photos, or faces, to be worked on again.")
    items_preserved: int = Field(description="Photos whose result stays and is not made again.")
    duration_ms: int


class Restart(SessionAction):
    """What the restart of a phase came to."""

    cleanup_stats: CleanupStats
    cleanup_stats_alias: CleanupStats = Field(alias="cleanup_stats", description="The same as `cleanupStats`.")
