"""A service of photos with a model that is none: the real process, in which each photo costs so many seconds.

python benchmarks/synthetic_service.py embedder|facedetect SECONDS_PER_PHOTO [people]

With `people` the face detector finds whom a photo of one colour shows: green and blue are the numbers of two persons
from 1 on, 0 is nobody.
"""

import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_common.media import Resolution
from triptych_common.models.description import ModelInfo
from triptych_common.process import run_process
from triptych_embedder import main as embedder
from triptych_embedder.models.base import EmbeddingModel
from triptych_embedder.models.mobilenet_v2 import MobileNetV2
from triptych_facedetect import main as facedetect
from triptych_facedetect.models.base import Face, FaceModel

_DIMENSION = 512


def _info(model_id: str) -> ModelInfo:
    return ModelInfo(
        model_id=model_id,
        pack="synthetic",
        display_name="No model",
        dimension=_DIMENSION,
        metric="cosine",
        device="cpu",
        licence="CC0-1.0",
    )


class SyntheticEmbedder(EmbeddingModel):
    """Takes photos as the bundled model does; its vectors mean nothing."""

    resolution = MobileNetV2.resolution

    def __init__(self, seconds_per_photo: float) -> None:
        # The same for fast and slow ones: replicas of one service have one model.
        self.info = _info("synthetic")
        # As backends choose it: few enough for an answer each second or two.
        self.micro_batch = 16 if seconds_per_photo else 64
        self._seconds_per_photo = seconds_per_photo

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if self._seconds_per_photo:
            time.sleep(self._seconds_per_photo * len(images))
        vectors = np.zeros((len(images), _DIMENSION), np.float32)
        vectors[np.arange(len(images)), [int(image[0, 0, 0]) for image in images]] = 1
        return vectors


class SyntheticDetector(FaceModel):
    """Finds no face, or whom a photo's colour names."""

    resolution = Resolution(longest_side_pixels=64)
    micro_batch = 16

    def __init__(self, seconds_per_photo: float, *, finds_people: bool) -> None:
        self._finds_people = finds_people
        # The face space is one whose parameters the clusterer knows.
        self.info = _info("buffalo_l")
        self._seconds_per_photo = seconds_per_photo

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        if self._seconds_per_photo:
            time.sleep(self._seconds_per_photo * len(images))
        return [_faces_of(image[0, 0]) if self._finds_people else [] for image in images]

    def warm_up(self) -> None:
        pass

    def rehearse(self, photos: int) -> None:
        pass

    def close(self) -> None:
        pass


def _faces_of(colour: NDArray[np.uint8]) -> list[Face]:
    """Persons are at right angles to each other, and the faces of one differ a little from photo to photo."""
    photo, *persons = (int(part) for part in colour)
    faces = []
    for place, person in enumerate(persons):
        if person:
            embedding = np.zeros(_DIMENSION, np.float32)
            embedding[person] = 1
            embedding[256 + photo] = 0.15
            left = 0.1 + 0.4 * place
            landmarks = np.asarray([(left + 0.05 * point, 0.4) for point in range(5)], np.float32)
            faces.append(
                Face(
                    x=left,
                    y=0.2,
                    width=0.3,
                    height=0.4,
                    landmarks=landmarks,
                    score=0.9,
                    embedding=embedding / np.linalg.norm(embedding),
                )
            )
    return faces


def main() -> None:
    name, seconds_per_photo = sys.argv[1], float(sys.argv[2])
    if name == "embedder":

        def load(model: str, options: Any) -> EmbeddingModel:
            return SyntheticEmbedder(seconds_per_photo)

        run_process(name, embedder.EmbedderSettings, partial(embedder.serve, load=load))

    def load_detector(model: str, options: Any) -> FaceModel:
        return SyntheticDetector(seconds_per_photo, finds_people=sys.argv[3:] == ["people"])

    run_process(name, facedetect.FaceDetectSettings, partial(facedetect.serve, load=load_detector))


if __name__ == "__main__":
    main()
