"""The contract's bodies, one module for each part of the surface."""

from triptych_gateway.api.schemas.base import (
    MAX_ID,
    Body,
    DirectoryPath,
    Error,
    ErrorBody,
    Line,
    Page,
    Time,
    utc,
)
from triptych_gateway.api.schemas.faces import (
    Box,
    Face,
    Group,
    GroupDetail,
)
from triptych_gateway.api.schemas.health import (
    Health,
    ServiceHealth,
)
from triptych_gateway.api.schemas.jobs import (
    Job,
)
from triptych_gateway.api.schemas.progress import (
    JobsSummary,
    LegacyProgress,
    Model,
    OverallProgress,
    PhaseProgress,
    Phases,
    RunError,
    Stall,
    Stats,
    UnifiedProgress,
)
from triptych_gateway.api.schemas.sessions import (
    CategorySummary,
    CleanupStats,
    Problem,
    Restart,
    Session,
    SessionAction,
    SessionConfig,
    SessionCreate,
)
from triptych_gateway.api.schemas.words import (
    JobStatus,
    OverallStatus,
    PhaseName,
    PhaseStatus,
    SessionStatus,
    Weighting,
)

__all__ = [
    "MAX_ID",
    "Body",
    "Box",
    "CategorySummary",
    "CleanupStats",
    "DirectoryPath",
    "Error",
    "ErrorBody",
    "Face",
    "Group",
    "GroupDetail",
    "Health",
    "Job",
    "JobStatus",
    "JobsSummary",
    "LegacyProgress",
    "Line",
    "Model",
    "OverallProgress",
    "OverallStatus",
    "Page",
    "PhaseName",
    "PhaseProgress",
    "PhaseStatus",
    "Phases",
    "Problem",
    "Restart",
    "RunError",
    "ServiceHealth",
    "Session",
    "SessionAction",
    "SessionConfig",
    "SessionCreate",
    "SessionStatus",
    "Stall",
    "Stats",
    "Time",
    "UnifiedProgress",
    "Weighting",
    "utc",
]
