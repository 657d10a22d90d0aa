"""Photos to faces, by one model."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeAlias

from triptych_common.media import ImageLoader, ImageReference
from triptych_common.models.description import ModelInfo
from triptych_common.models.lifetime import ModelLifetime
from triptych_common.photos.batches import BatchLimits, PhotoBatches, PhotoOutcome
from triptych_facedetect.models.base import Face, FaceModel

DetectOutcome: TypeAlias = PhotoOutcome[list[Face]]
"""What became of one photo: its faces, strongest first, or an ImageFailure."""


class Detection:
    """Finds and embeds faces with one model for any number of requests. Close it when done."""

    def __init__(
        self, *, model: ModelLifetime[FaceModel], info: ModelInfo, loader: ImageLoader, limits: BatchLimits
    ) -> None:
        self._lifetime = model
        self.model = info
        """The model that runs, also while it is not loaded."""
        self.batches = PhotoBatches(
            model=model,
            loader=loader,
            compute=lambda loaded, images: loaded.detect(images),
            limits=limits,
        )

    def detect_faces(self, references: Sequence[ImageReference]) -> AsyncGenerator[list[DetectOutcome], None]:
        """Yield the outcomes of one micro-batch after another; see PhotoBatches.run."""
        return self.batches.run(references)

    async def close(self) -> None:
        """Let the micro-batch in the model end, stop the threads, and let go of the model."""
        await asyncio.to_thread(self.batches.close)
        await self._lifetime.close()
