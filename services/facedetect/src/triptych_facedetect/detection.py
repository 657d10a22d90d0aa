"""Photos to faces, by one model."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from triptych_common.logging import get_logger
from triptych_common.media import ImageLoader, ImageReference
from triptych_common.media.decoders.pool import Decoders
from triptych_common.models.description import ModelInfo
from triptych_common.models.lifetime import ModelLifetime
from triptych_common.photos.batches import BatchLimits, PhotoBatches, PhotoOutcome
from triptych_facedetect.models.base import Face, FaceModel

log = get_logger(__name__)

DetectOutcome: TypeAlias = PhotoOutcome[list[Face]]
"""What became of one photo: its faces, strongest first and `MOST_FACES` at most, or an ImageFailure."""

MOST_FACES: Final = 1000
"""Faces that are kept of one photo, the strongest. Whoever lists the faces of a photo relies on it: 1,000 with vectors
of 512 numbers are 2 MB of an answer, which may have 64."""


class Detection:
    """Finds and embeds faces with one model for any number of requests. Close it when done."""

    def __init__(
        self,
        *,
        model: ModelLifetime[FaceModel],
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
            compute=_strongest_faces,
            limits=limits,
            decoders=decoders,
        )

    def detect_faces(self, references: Sequence[ImageReference]) -> AsyncGenerator[list[DetectOutcome], None]:
        """Yield the outcomes of one micro-batch after another; see PhotoBatches.run."""
        return self.batches.run(references)

    async def close(self) -> None:
        """Let the micro-batch in the model end, stop the threads, and let go of the model."""
        await asyncio.to_thread(self.batches.close)
        await self._lifetime.close()


def _strongest_faces(model: FaceModel, images: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
    found = model.detect(images)
    for faces in found:
        if len(faces) > MOST_FACES:
            log.warning("a photo has more faces than are kept of one", found=len(faces), kept=MOST_FACES)
    return [faces[:MOST_FACES] for faces in found]
