"""The embedder's gRPC service: messages to calls, outcomes to messages, and progress once they are sent."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from triptych.v1 import embedder_pb2, embedder_pb2_grpc
from triptych_common.errors import AwayError, InvalidRequestError, PreconditionError
from triptych_common.media import ImageFailure
from triptych_common.media.failure_messages import failure_to_wire
from triptych_common.models.description import model_to_wire, vector_to_bytes
from triptych_common.photos.reporting import SentOutcomes
from triptych_common.photos.requests import facts_to_wire, references_from_items, require_model
from triptych_common.progress.publisher import ProgressPublisher
from triptych_embedder.embedding import Embedding, EmbedOutcome

SERVICE_NAME: Final = embedder_pb2.DESCRIPTOR.services_by_name["Embedder"].full_name
MAX_TEXTS: Final = 64
"""Most texts that one request may carry."""
MAX_TEXT_CHARACTERS: Final = 1000
"""Longest text that is embedded."""


class EmbedderService(embedder_pb2_grpc.EmbedderServicer):
    """Answers UNAVAILABLE (MODEL_LOADING) until ``core`` is set."""

    def __init__(self, publisher: ProgressPublisher) -> None:
        self._publisher = publisher
        self.core: Embedding | None = None

    async def EmbedImages(  # noqa: N802
        self, request: embedder_pb2.EmbedImagesRequest, context: Any
    ) -> AsyncGenerator[embedder_pb2.EmbedImagesResponse, None]:
        """Stream the outcomes of each micro-batch, and report them once they are sent."""
        embedding = self._ready()
        require_model(request.model_id, embedding.model)
        references = references_from_items(request.items)
        work = request.work if request.HasField("work") else None
        sent = SentOutcomes(self._publisher, work, item_count=len(references))
        async with aclosing(embedding.embed_images(references)) as batches:
            async for outcomes in batches:
                yield embedder_pb2.EmbedImagesResponse(
                    outcomes=[_outcome_to_wire(outcome) for outcome in outcomes], model_id=embedding.model.model_id
                )
                # The server asks for more only when the message above has been sent.
                sent.add(outcomes)

    async def EmbedText(  # noqa: N802
        self, request: embedder_pb2.EmbedTextRequest, context: Any
    ) -> embedder_pb2.EmbedTextResponse:
        """Embed texts, where the model can."""
        embedding = self._ready()
        model = embedding.model
        require_model(request.model_id, model)
        if not model.has_text_tower:
            raise PreconditionError(f"{model.display_name} cannot read text; a CLIP model can.", reason="NO_TEXT_TOWER")
        if not 1 <= len(request.texts) <= MAX_TEXTS:
            raise InvalidRequestError(
                f"The request holds {len(request.texts)} texts, not 1 to {MAX_TEXTS}.", reason="BAD_TEXT_COUNT"
            )
        if any(len(text) > MAX_TEXT_CHARACTERS for text in request.texts):
            raise InvalidRequestError(
                f"A text is longer than {MAX_TEXT_CHARACTERS} characters.", reason="TEXT_TOO_LONG"
            )
        vectors = await embedding.embed_texts(list(request.texts))
        return embedder_pb2.EmbedTextResponse(
            vectors=[vector_to_bytes(vector) for vector in vectors], model_id=model.model_id
        )

    async def GetModelInfo(  # noqa: N802
        self, request: embedder_pb2.EmbedderGetModelInfoRequest, context: Any
    ) -> embedder_pb2.EmbedderGetModelInfoResponse:
        """Tell which model runs, and where."""
        return embedder_pb2.EmbedderGetModelInfoResponse(model=model_to_wire(self._ready().model))

    def _ready(self) -> Embedding:
        if self.core is None:
            raise AwayError("The model is being loaded.", reason="MODEL_LOADING", retry_after_seconds=1)
        return self.core


def _outcome_to_wire(outcome: EmbedOutcome) -> embedder_pb2.EmbedOutcome:
    message = embedder_pb2.EmbedOutcome(item_id=outcome.item_id, processing_microseconds=round(outcome.seconds * 1e6))
    if outcome.facts is not None:
        message.facts.CopyFrom(facts_to_wire(outcome.facts))
    if isinstance(outcome.result, ImageFailure):
        message.error.CopyFrom(failure_to_wire(outcome.result))
    else:
        message.vector = vector_to_bytes(outcome.result)
    return message
