"""Words for states and kinds, as the contract spells them."""

from typing import Literal

from typing_extensions import TypeAliasType

PhaseName = TypeAliasType("PhaseName", Literal["training", "face_detection", "clustering"])
PhaseStatus = TypeAliasType(
    "PhaseStatus", Literal["pending", "running", "processing", "paused", "completed", "failed", "cancelled"]
)
OverallStatus = TypeAliasType(
    "OverallStatus", Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
)
SessionStatus = TypeAliasType(
    "SessionStatus", Literal["pending", "discovering", "running", "paused", "completed", "cancelled", "failed"]
)
Weighting = TypeAliasType("Weighting", Literal["fixed", "calibrated"])
JobStatus = TypeAliasType("JobStatus", Literal["pending", "running", "completed", "failed", "cancelled", "skipped"])
PersonStatus = TypeAliasType("PersonStatus", Literal["active", "hidden"])
PersonFilter = TypeAliasType("PersonFilter", Literal["active", "hidden", "all"])
TrainingStatus = TypeAliasType("TrainingStatus", Literal["never", "partial", "complete", "in_progress"])
SubdirectoryStatus = TypeAliasType("SubdirectoryStatus", Literal["pending", "training", "trained", "failed"])
