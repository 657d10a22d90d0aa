"""ArcFace: faces cut out by their landmarks, and all faces of a micro-batch to vectors at once.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.utils.face_align import arcface_dst
from numpy.typing import NDArray
from skimage.transform import SimilarityTransform

from triptych_common.models.devices import Device
from triptych_common.models.onnx_session import open_session
from triptych_facedetect.models.onnx_batches import BatchedNetwork

MOST_FACES_AT_ONCE: Final = 128
"""More than a micro-batch of group photos has. Each takes some 10 MB inside the network."""


class FaceRecogniser:
    """Aligned faces to unit vectors. Thread-safe."""

    def __init__(self, path: Path, *, device: Device, threads: int) -> None:
        """Load ``path``. Raises what ``open_session`` and ONNX Runtime raise."""
        opened = open_session(path, device=device, threads=threads)
        self.device = opened.device
        self._network = BatchedNetwork(opened, most_at_once=MOST_FACES_AT_ONCE)
        self._arcface = ArcFaceONNX(model_file=str(path), session=opened.session)
        self.side_pixels = int(self._arcface.input_size[0])
        self._template = _template(self.side_pixels)

    def align(self, photo: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8] | None:
        """A face [side, side, 3], turned and scaled so that its landmarks [5, 2] come to lie where the network expects.

        None where the landmarks are all one point, which is nothing that could be turned.
        """
        found = SimilarityTransform.from_estimate(landmarks, self._template)
        if not found:
            return None
        matrix = found.params[:2]
        crop = cv2.warpAffine(photo, matrix, (self.side_pixels, self.side_pixels), borderValue=0.0)
        return crop.astype(np.uint8, copy=False)

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Unit vectors [n, dimension] of n ≥ 1 aligned RGB faces, in one call up to ``MOST_FACES_AT_ONCE`` of them.

        Raises DeviceMemoryError; ValueError where the network gives a vector that is not finite, or has no direction.
        """
        mean, std = self._arcface.input_mean, self._arcface.input_std
        size = (self.side_pixels, self.side_pixels)
        pictures = cv2.dnn.blobFromImages(list(crops), 1 / std, size, (mean, mean, mean), swapRB=False)
        calls = self._network.run(pictures.astype(np.float32, copy=False))
        vectors = np.concatenate([outputs[0] for outputs in calls])[: len(crops)].astype(np.float32, copy=False)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise ValueError("the network gave a vector that is not finite or has no direction")
        unit: NDArray[np.float32] = vectors / lengths
        return unit


def _template(side_pixels: int) -> NDArray[np.float32]:
    """Where the five landmarks belong in a picture, [5, 2]; insightface's rule for 112, 128 and multiples of them."""
    if side_pixels % 112 == 0:
        return arcface_dst * np.float32(side_pixels / 112)  # type: ignore[no-any-return]
    ratio = np.float32(side_pixels / 128)
    return arcface_dst * ratio + np.array([8 * ratio, 0], np.float32)  # type: ignore[no-any-return]
