"""Names in snake_case that the shipped frontend reads beside the contract's own: the only place that knows them."""

from typing import Any


def with_aliases(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The snapshot with the one name beside its own that the shipped frontend reads in snake_case."""
    phases = snapshot["phases"]
    return {**snapshot, "phases": {**phases, "face_detection": phases["faceDetection"]}}
