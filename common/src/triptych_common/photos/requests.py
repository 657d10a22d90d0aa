"""Requests that carry photos: checked, and translated between messages and what cores take and give."""

from collections.abc import Sequence

from triptych.v1 import image_pb2
from triptych_common.errors import InvalidRequestError, PreconditionError
from triptych_common.media import ImageFacts, ImageReference
from triptych_common.models.description import ModelInfo

MAX_ITEMS = 1024
"""Most photos that one request may carry."""
MAX_CONTENT_BYTES = 32 * 2**20
"""Largest encoded file that may travel inside a request, in bytes."""


def references_from_items(items: Sequence[image_pb2.ImageItem]) -> list[ImageReference]:
    """The photos of a request.

    Raises InvalidRequestError: NO_ITEMS, TOO_MANY_ITEMS, DUPLICATE_ITEM, NO_SOURCE, CONTENT_TOO_LARGE.
    """
    if not items:
        raise InvalidRequestError("The request holds no photos.", reason="NO_ITEMS")
    if len(items) > MAX_ITEMS:
        raise InvalidRequestError(
            f"The request holds {len(items)} photos; the limit is {MAX_ITEMS}.", reason="TOO_MANY_ITEMS"
        )
    references: dict[int, ImageReference] = {}
    for item in items:
        if item.item_id in references:
            raise InvalidRequestError(f"Two photos have the item_id {item.item_id}.", reason="DUPLICATE_ITEM")
        references[item.item_id] = _reference(item)
    return list(references.values())


def _reference(item: image_pb2.ImageItem) -> ImageReference:
    source = item.image.WhichOneof("source")
    if source == "uri":
        return ImageReference(item_id=item.item_id, uri=item.image.uri)
    if source == "content":
        if len(item.image.content) > MAX_CONTENT_BYTES:
            raise InvalidRequestError(
                f"The content of item {item.item_id} is larger than {MAX_CONTENT_BYTES:,} bytes; give its URI instead.",
                reason="CONTENT_TOO_LARGE",
            )
        return ImageReference(item_id=item.item_id, content=item.image.content)
    raise InvalidRequestError(f"Item {item.item_id} has neither a URI nor content.", reason="NO_SOURCE")


def require_model(expected_model_id: str, running: ModelInfo) -> None:
    """Raise PreconditionError (MODEL_MISMATCH) where a caller expects another model; "" accepts any."""
    if expected_model_id not in ("", running.model_id):
        raise PreconditionError(
            f"The model {expected_model_id} is asked for, but {running.model_id} runs.",
            reason="MODEL_MISMATCH",
            metadata={"expected": expected_model_id, "running": running.model_id},
        )


def facts_to_wire(facts: ImageFacts) -> image_pb2.ImageFacts:
    """The message for a photo's facts."""
    return image_pb2.ImageFacts(
        content_sha256=facts.content_sha256,
        width=facts.width,
        height=facts.height,
        size_bytes=facts.size_bytes,
        taken_at=facts.taken_at,
        format=facts.format,
    )
