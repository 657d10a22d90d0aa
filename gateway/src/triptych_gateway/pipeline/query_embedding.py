"""Vectors for questions: of a text, or of a picture that is in no library."""

from dataclasses import dataclass
from typing import Final

import grpc
import numpy as np
from numpy.typing import NDArray

from triptych.v1 import embedder_pb2, embedder_pb2_grpc, image_pb2
from triptych_common.errors import AwayError
from triptych_common.media.failure_messages import failure_code_from_wire
from triptych_common.rpc.channels import ReplicaPool
from triptych_common.rpc.metadata import call_metadata
from triptych_common.rpc.status import read_error

QUERY_SECONDS: Final = 20.0
"""Deadline of one question; a service at work answers between two micro-batches."""
_AWAY: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
)


class NoTextTowerError(Exception):
    """The model that runs cannot read text."""


class UnreadablePictureError(Exception):
    """The embedder could not read the picture; ``code`` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class QueryVector:
    """A question as the model sees it."""

    model_id: str
    vector: NDArray[np.float32]
    """[d]."""


class QueryEmbedder:
    """Asks the embedder. Each question raises AwayError where nobody answers in time."""

    def __init__(self, pool: ReplicaPool) -> None:
        self._pool = pool

    async def embed_text(self, text: str) -> QueryVector:
        """The vector of a text. Raises NoTextTowerError."""
        request = embedder_pb2.EmbedTextRequest(texts=[text])
        try:
            async with self._pool.take() as replica:
                stub = embedder_pb2_grpc.EmbedderStub(replica.channel)
                answer = await stub.EmbedText(request, timeout=QUERY_SECONDS, metadata=call_metadata())
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION and read_error(error).reason == "NO_TEXT_TOWER":
                raise NoTextTowerError(read_error(error).message) from error
            raise _away(error) from error
        return QueryVector(model_id=answer.model_id, vector=_vector(answer.vectors[0]))

    async def embed_picture(self, content: bytes) -> QueryVector:
        """The vector of an encoded picture. Raises UnreadablePictureError."""
        item = image_pb2.ImageItem(item_id=1, image=image_pb2.ImageSource(content=content))
        request = embedder_pb2.EmbedImagesRequest(items=[item])
        try:
            async with self._pool.take() as replica:
                stub = embedder_pb2_grpc.EmbedderStub(replica.channel)
                call = stub.EmbedImages(request, timeout=QUERY_SECONDS, metadata=call_metadata())
                messages = [message async for message in call]
        except grpc.aio.AioRpcError as error:
            raise _away(error) from error
        for message in messages:
            for outcome in message.outcomes:
                if outcome.HasField("error"):
                    raise UnreadablePictureError(failure_code_from_wire(outcome.error.code), outcome.error.message)
                return QueryVector(model_id=message.model_id, vector=_vector(outcome.vector))
        raise AwayError("The embedder ended without an answer; try again.", reason="NO_ANSWER")


def _vector(content: bytes) -> NDArray[np.float32]:
    return np.frombuffer(content, dtype="<f4").astype(np.float32)


def _away(error: grpc.aio.AioRpcError) -> Exception:
    """What a failed question means: that nobody is there, or, unchanged, that something is wrong with it."""
    if error.code() in _AWAY:
        return AwayError("The embedder does not answer; try again in a moment.", reason="SERVICE_AWAY")
    return error
