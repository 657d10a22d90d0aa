"""Photos and texts to vectors, by one model."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from triptych_common.media import ImageLoader, ImageReference
from triptych_common.media.decoders.pool import Decoders
from triptych_common.models.description import ModelInfo
from triptych_common.models.lifetime import ModelLifetime
from triptych_common.photos.batches import BatchLimits, PhotoBatches, PhotoOutcome
from triptych_embedder.models.base import EmbeddingModel

EmbedOutcome: TypeAlias = PhotoOutcome[NDArray[np.float32]]
"""What became of one photo: a vector [dimension] or an ImageFailure."""


class Embedding:
    """Embeds photos with one model for any number of requests. Close it when done."""

    def __init__(
        self,
        *,
        model: ModelLifetime[EmbeddingModel],
        info: ModelInfo,
        loader: ImageLoader,
        limits: BatchLimits,
        decoders: Decoders | None = None,
    ) -> None:
        self._lifetime = model
        self.model = info
        """The model that runs, also while it is not loaded."""
        self.batches = PhotoBatches(
            model=model,
            loader=loader,
            compute=lambda loaded, images: list(loaded.embed_images(images)),
            limits=limits,
            decoders=decoders,
        )

    def embed_images(self, references: Sequence[ImageReference]) -> AsyncGenerator[list[EmbedOutcome], None]:
        """Yield the outcomes of one micro-batch after another; see PhotoBatches.run."""
        return self.batches.run(references)

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [n, dimension] of n ≥ 1 texts. Only where ``model.has_text_tower``."""
        return await self.batches.run_between(lambda loaded: loaded.embed_texts(texts))

    async def close(self) -> None:
        """Let the micro-batch in the model end, stop the threads, and let go of the model."""
        await asyncio.to_thread(self.batches.close)
        await self._lifetime.close()
