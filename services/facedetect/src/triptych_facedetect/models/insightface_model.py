"""The insightface backend: SCRFD finds faces, ArcFace embeds them; weights come from a pack."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from triptych_common.errors import ConfigurationError
from triptych_common.media import Resolution
from triptych_common.models.description import ModelInfo
from triptych_facedetect.models.base import DetectionOptions, Face, FaceModel
from triptych_facedetect.models.insightface_detection import FaceDetector, FoundFaces
from triptych_facedetect.models.insightface_pack import FacePack, find_pack
from triptych_facedetect.models.insightface_recognition import FaceRecogniser

DEFAULT_MIN_SCORE: Final = 0.5
"""InsightFace's own."""
DEFAULT_SIDE_PIXELS: Final = 640
"""The size for which SCRFD was trained and its accuracy is published."""
_LARGEST_STRIDE_PIXELS: Final = 32
_PHOTO_TO_DETECTION: Final = 3
"""How much larger than for detection photos are kept for cutting faces out: a face of 37 pixels or more at detection
then has all of the 112 that ArcFace takes."""
_MICRO_BATCH_GPU: Final = 16
_LANES: Final = 2
"""While one embeds its faces, the other searches its photos."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Located:
    """What is known of one photo before its faces are embedded."""

    found: FoundFaces
    crops: list[NDArray[np.uint8]]
    """Of the faces in ``aligned``."""
    aligned: list[int]
    """Rows of ``found`` that could be aligned."""


class InsightFace(FaceModel):
    """Faces at any angle, from about 16 pixels of a photo shrunk to 640; unit vectors, compared by cosine.

    Boxes, landmarks and vectors are those of insightface's ``FaceAnalysis.get`` on the same pixels. Landmarks are eyes,
    nose and corners of the mouth; scores are 0 to 1. ``detect`` may be called from several threads.
    """

    def __init__(self, pack: FacePack, options: DetectionOptions) -> None:
        side_pixels = options.long_side_pixels or DEFAULT_SIDE_PIXELS
        self._detector = FaceDetector(
            pack.detector,
            device=options.device,
            threads=options.threads,
            side_pixels=-(-side_pixels // _LARGEST_STRIDE_PIXELS) * _LARGEST_STRIDE_PIXELS,
            min_score=DEFAULT_MIN_SCORE if options.min_score is None else options.min_score,
        )
        # Half of the threads each, on a CPU: more would wait after each layer for one that detects in the other lane.
        recogniser_threads = max(1, options.threads // _LANES)
        self._recogniser = FaceRecogniser(pack.recogniser, device=options.device, threads=recogniser_threads)
        self._pool = ThreadPoolExecutor(options.threads, thread_name_prefix="scrfd")
        device = self._recogniser.device
        self.resolution = Resolution(longest_side_pixels=_PHOTO_TO_DETECTION * side_pixels)
        self.micro_batch = 2 * options.threads if device == "cpu" else _MICRO_BATCH_GPU
        self.lanes = _LANES
        self.info = ModelInfo(
            model_id=pack.model_id,
            pack="production",
            display_name=pack.display_name,
            dimension=self._probe(),
            metric="cosine",
            device=device,
            licence=pack.licence,
            notice="InsightFace's pretrained packs are for non-commercial research only.",
        )

    @classmethod
    def load(cls, name: str, options: DetectionOptions) -> Self:
        """Load the pack ``name`` of the model store, or that in the directory ``/path``; nothing is downloaded.

        Raises ConfigurationError where it is missing, damaged or of another kind, or the device cannot be had.
        """
        pack = find_pack(name, options.models_dir)
        try:
            return cls(pack, options)
        except ConfigurationError:
            raise
        except Exception as error:  # ONNX Runtime has a class of its own for each status
            raise ConfigurationError(f"The pack in {pack.detector.parent} cannot be loaded: {error}") from error

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """The faces of each photo, strongest first; all faces of all photos are embedded together."""
        located = self._detector.find(images, pool=self._pool, then=self._locate)
        crops = [crop for one in located for crop in one.crops]
        vectors = iter(self._recogniser.embed(crops) if crops else ())
        return [
            [_face(image, one.found, row, next(vectors)) for row in one.aligned]
            for image, one in zip(images, located, strict=True)
        ]

    def warm_up(self) -> None:
        """Run both networks once, and on a CPU on every thread."""
        self.rehearse(self.micro_batch if self.info.device == "cpu" else 1)

    def rehearse(self, photos: int) -> None:
        """Search blank photos, which are as large as any by the time the network gets them, with a face for each."""
        blank = np.zeros((64, 64, 3), np.uint8)
        self._detector.find([blank] * photos, pool=self._pool, then=self._locate)
        self._recogniser.embed([self._grey_crop()] * photos)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _locate(self, photo: NDArray[np.uint8], found: FoundFaces) -> _Located:
        crops = [self._recogniser.align(photo, landmarks) for landmarks in found.landmarks]
        return _Located(
            found=found,
            crops=[crop for crop in crops if crop is not None],
            aligned=[row for row, crop in enumerate(crops) if crop is not None],
        )

    def _probe(self) -> int:
        """The length of the recogniser's vectors, by running it."""
        return len(self._recogniser.embed([self._grey_crop()])[0])

    def _grey_crop(self) -> NDArray[np.uint8]:
        side = self._recogniser.side_pixels
        return np.linspace(0, 255, side * side * 3).reshape(side, side, 3).astype(np.uint8)


def _face(image: NDArray[np.uint8], found: FoundFaces, row: int, embedding: NDArray[np.float32]) -> Face:
    height, width = image.shape[:2]
    left, top, right, bottom = (float(value) for value in found.boxes[row])
    return Face(
        x=left / width,
        y=top / height,
        width=(right - left) / width,
        height=(bottom - top) / height,
        landmarks=found.landmarks[row] / np.array([width, height], np.float32),
        score=float(found.scores[row]),
        embedding=embedding,
    )
