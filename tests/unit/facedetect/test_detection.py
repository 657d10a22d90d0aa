"""What is kept of the faces of a photo, whatever the model finds."""

from collections.abc import Sequence
from contextlib import aclosing

import numpy as np
from numpy.typing import NDArray
from structlog.testing import capture_logs

from triptych_common.media import ImageLoader, ImageReference, MediaRoots, Resolution, decode_image
from triptych_common.models.description import ModelInfo
from triptych_common.models.lifetime import ModelLifetime
from triptych_common.photos.batches import BatchLimits
from triptych_facedetect.detection import MOST_FACES, Detection, DetectOutcome
from triptych_facedetect.models.base import Face, FaceModel

_CROWD = 20
"""Faces more than are kept."""


class _Crowds(FaceModel):
    """Finds a crowd in every photo that is not black, strongest first, and nobody in those that are."""

    info = ModelInfo(
        model_id="crowds",
        pack="none",
        display_name="Crowds",
        dimension=1,
        metric="cosine",
        device="cpu",
        licence="none",
    )
    resolution = Resolution()
    micro_batch = 2

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        return [[_face(place) for place in range(MOST_FACES + _CROWD)] if image.any() else [] for image in images]

    def warm_up(self) -> None:
        pass

    def rehearse(self, photos: int) -> None:
        pass

    def close(self) -> None:
        pass


def _face(place: int) -> Face:
    none = np.zeros((5, 2), np.float32)
    return Face(x=0, y=0, width=0.01, height=0.01, landmarks=none, score=-place, embedding=none[0, :1])


async def _found_in(reds: Sequence[int]) -> dict[int, DetectOutcome]:
    """The outcomes of photos of one pixel, told apart by its red."""
    model = ModelLifetime[FaceModel](_Crowds)
    loader = ImageLoader(
        roots=MediaRoots([]), decode=decode_image, resolution=Resolution(), max_bytes=1_000, max_pixels=1_000
    )
    limits = BatchLimits(micro_batch=2, decode_threads=1, max_concurrent_requests=1, decoded_bytes=2**20)
    detection = Detection(model=model, info=_Crowds.info, loader=loader, limits=limits)
    photos = [ImageReference(item_id=red, content=b"P6 1 1 255\n" + bytes([red, 0, 0])) for red in reds]
    outcomes: list[DetectOutcome] = []
    async with aclosing(detection.detect_faces(photos)) as batches:
        async for batch in batches:
            outcomes += batch
    await detection.close()
    return {outcome.item_id: outcome for outcome in outcomes}


async def test_of_a_crowd_the_strongest_are_kept_and_that_there_were_more_is_logged() -> None:
    with capture_logs() as logged:
        found = await _found_in([0, 9])

    nobody, crowd = found[0].result, found[9].result
    assert nobody == []
    assert isinstance(crowd, list)
    assert [face.score for face in crowd] == [-place for place in range(MOST_FACES)]
    assert [(one["found"], one["kept"]) for one in logged if "kept" in one] == [(MOST_FACES + _CROWD, MOST_FACES)]
