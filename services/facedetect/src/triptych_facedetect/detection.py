"""Photos to faces, by one loaded model."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeAlias

from triptych_common.media import DecodedImage, ImageLoader, ImageReference
from triptych_common.models import ModelInfo
from triptych_common.photo_batches import PhotoBatches, PhotoOutcome
from triptych_facedetect.models.base import Face, FaceModel

DetectOutcome: TypeAlias = PhotoOutcome[list[Face]]
"""What became of one photo: its faces, strongest first, or an ImageFailure."""


class Detection:
    """Finds and embeds faces with one model for any number of requests. Close it when done."""

    def __init__(
        self, *, model: FaceModel, loader: ImageLoader, micro_batch: int, max_concurrent_requests: int
    ) -> None:
        self._model = model
        self._loader = loader
        self._batches = PhotoBatches(
            loader=loader,
            compute=self._faces,
            micro_batch=micro_batch,
            max_concurrent_requests=max_concurrent_requests,
        )

    @property
    def model(self) -> ModelInfo:
        """The model that runs."""
        return self._model.info

    def detect_faces(self, references: Sequence[ImageReference]) -> AsyncGenerator[list[DetectOutcome], None]:
        """Yield the outcomes of one micro-batch after another; see PhotoBatches.run."""
        return self._batches.run(references)

    async def close(self) -> None:
        """Let the micro-batch in the model end, and stop the threads."""
        self._loader.close()
        await asyncio.to_thread(self._batches.close)
        await asyncio.to_thread(self._model.close)

    def _faces(self, images: Sequence[DecodedImage]) -> list[list[Face]]:
        return self._model.detect([image.pixels for image in images])
