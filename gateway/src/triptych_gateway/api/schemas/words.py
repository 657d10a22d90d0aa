"""Words for states and kinds, as the contract spells them."""

from typing import Literal

PhaseName = Literal["training", "face_detection", "clustering"]
PhaseStatus = Literal["pending", "running", "processing", "paused", "completed", "failed", "cancelled"]
OverallStatus = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
SessionStatus = Literal["pending", "discovering", "running", "paused", "completed", "cancelled", "failed"]
Weighting = Literal["fixed", "calibrated"]
JobStatus = Literal["pending", "running", "completed", "failed", "cancelled", "skipped"]
PersonStatus = Literal["active", "hidden"]
PersonFilter = Literal["active", "hidden", "all"]
