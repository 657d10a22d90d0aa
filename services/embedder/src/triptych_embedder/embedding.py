"""Photos and texts to vectors, by one loaded model."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from triptych_common.media import DecodedImage, ImageLoader, ImageReference
from triptych_common.models import ModelInfo
from triptych_common.photo_batches import PhotoBatches, PhotoOutcome
from triptych_embedder.models.base import EmbeddingModel

EmbedOutcome: TypeAlias = PhotoOutcome[NDArray[np.float32]]
"""What became of one photo: a vector [dimension] or an ImageFailure."""


class Embedding:
    """Embeds photos with one model for any number of requests. Close it when done."""

    def __init__(
        self, *, model: EmbeddingModel, loader: ImageLoader, micro_batch: int, max_concurrent_requests: int
    ) -> None:
        self._model = model
        self._loader = loader
        self._batches = PhotoBatches(
            loader=loader,
            compute=self._vectors,
            micro_batch=micro_batch,
            max_concurrent_requests=max_concurrent_requests,
        )

    @property
    def model(self) -> ModelInfo:
        """The model that runs."""
        return self._model.info

    def embed_images(self, references: Sequence[ImageReference]) -> AsyncGenerator[list[EmbedOutcome], None]:
        """Yield the outcomes of one micro-batch after another; see PhotoBatches.run."""
        return self._batches.run(references)

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [n, dimension] of n ≥ 1 texts. Only where ``model.has_text_tower``."""
        return await self._batches.run_between(lambda: self._model.embed_texts(texts))

    async def close(self) -> None:
        """Let the micro-batch in the model end, and stop the threads."""
        self._loader.close()
        await asyncio.to_thread(self._batches.close)

    def _vectors(self, images: Sequence[DecodedImage]) -> list[NDArray[np.float32]]:
        return list(self._model.embed_images([image.pixels for image in images]))
