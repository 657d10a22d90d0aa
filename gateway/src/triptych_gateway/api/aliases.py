"""Names in snake_case that the shipped frontend reads beside the contract's own: the only place that knows them."""

from typing import Any

from triptych_gateway.api import schemas


def with_aliases(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The snapshot with the one name beside its own that the shipped frontend reads in snake_case."""
    phases = snapshot["phases"]
    return {**snapshot, "phases": {**phases, "face_detection": phases["faceDetection"]}}


def with_restart_aliases(*, session_id: int, message: str, stats: schemas.CleanupStats) -> schemas.Restart:
    """The answer of a restart, with what it did under both names."""
    return schemas.Restart.model_validate(
        {
            "sessionId": session_id,
            "status": "running",
            "message": message,
            "cleanupStats": stats,
            "cleanup_stats": stats,
        }
    )
