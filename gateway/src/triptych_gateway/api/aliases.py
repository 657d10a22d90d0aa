"""Names in snake_case that the shipped frontend reads beside the contract's own: the only place that knows them."""

from typing import Any

from triptych_gateway.api import schemas


def with_aliases(snapshot: schemas.UnifiedProgress) -> dict[str, Any]:
    """The snapshot as JSON, with the one name that the shipped frontend reads in snake_case."""
    body = snapshot.model_dump(by_alias=True, mode="json")
    body["phases"]["face_detection"] = body["phases"]["faceDetection"]
    return body
