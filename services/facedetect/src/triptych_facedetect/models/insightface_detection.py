"""SCRFD: photos to boxes, scores and landmarks, as insightface's own class finds them.

Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", 2021. What the class does one photo
after another is taken apart here, so that photos can share a call of the network, or have one each on threads of their
own: ``letterbox`` before the network, ``decode`` after it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import cv2
import numpy as np
from insightface.model_zoo.scrfd import SCRFD, distance2bbox, distance2kps
from numpy.typing import NDArray

from triptych_common.models.devices import Device
from triptych_common.models.onnx_session import open_session
from triptych_facedetect.models.onnx_batches import BatchedNetwork

_LAYOUTS: Final = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}
"""Number of outputs → strides in pixels, and anchors at each place. Outputs are scores, boxes, landmarks by stride."""
_MOST_PHOTOS_AT_ONCE: Final = 32
"""5 MB each as input, and some ten times that inside the network."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundFaces:
    """The n faces of one photo, strongest first, in its pixels."""

    boxes: NDArray[np.float32]
    """[n, 4]: left, top, right, bottom."""
    scores: NDArray[np.float32]
    """[n], 0 to 1."""
    landmarks: NDArray[np.float32]
    """[n, 5, 2]: eyes, nose, corners of the mouth, each from the viewer's left."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Letterboxed:
    """A photo as the network takes it."""

    picture: NDArray[np.float32]
    """[1, 3, height, width]."""
    scale: float
    """Its pixels to one of the photo's."""


class FaceDetector:
    """SCRFD with landmarks, at one input size. Thread-safe."""

    def __init__(self, path: Path, *, device: Device, threads: int, side_pixels: int, min_score: float) -> None:
        """Load ``path``; photos are fitted into a square of ``side_pixels``, a multiple of 32.

        Raises what ``open_session`` and ONNX Runtime raise.
        """
        # Photos that cannot share a call have one each at a time, and one thread each: then no thread waits for another
        # inside the network.
        opened = open_session(path, device=device, threads=1)
        self.is_batched = _has_batch_axis(opened.session)
        if self.is_batched:
            opened = open_session(path, device=device, threads=threads)
        self.device = opened.device
        self._network = BatchedNetwork(opened, most_at_once=_MOST_PHOTOS_AT_ONCE if self.is_batched else 1)
        self._scrfd = SCRFD(model_file=str(path), session=opened.session)
        # A file that fixes its input size has that size, whatever is asked for.
        self._scrfd.prepare(0, input_size=(side_pixels, side_pixels), det_thresh=min_score)
        self._strides, self._anchors = _LAYOUTS[len(self._network.output_names)]

    def find(
        self,
        photos: Sequence[NDArray[np.uint8]],
        *,
        pool: Executor,
        then: Callable[[NDArray[np.uint8], FoundFaces], ResultT],
    ) -> list[ResultT]:
        """What ``then`` makes, on the pool's threads, of the faces of each of n ≥ 1 RGB photos [height, width, 3].

        Raises DeviceMemoryError.
        """
        if not self.is_batched:
            return list(pool.map(lambda photo: then(photo, self._find_one(photo)), photos))
        letterboxed = list(pool.map(self._letterbox, photos))
        outputs = self._outputs([one.picture for one in letterboxed])
        return list(pool.map(lambda photo, raw, box: then(photo, self._decode(raw, box)), photos, outputs, letterboxed))

    def _find_one(self, photo: NDArray[np.uint8]) -> FoundFaces:
        letterboxed = self._letterbox(photo)
        (outputs,) = self._network.run(letterboxed.picture)
        return self._decode(outputs, letterboxed)

    def _outputs(self, pictures: Sequence[NDArray[np.float32]]) -> list[list[NDArray[Any]]]:
        """The outputs for each picture, out of calls that they share."""
        slices = self._network.slices(len(pictures))
        calls = self._network.run(np.concatenate(pictures))
        return [
            [output[place] for output in outputs]
            for part, outputs in zip(slices, calls, strict=True)
            for place in range(part.stop - part.start)
        ]

    def _letterbox(self, photo: NDArray[np.uint8]) -> _Letterboxed:
        """The photo, shrunk or grown to fit, in the upper left of a black picture."""
        height, width = photo.shape[:2]
        full_width, full_height = self._scrfd.input_size
        ratio = height / width
        if ratio > full_height / full_width:
            new_height, new_width = full_height, max(1, int(full_height / ratio))
        else:
            new_height, new_width = max(1, int(full_width * ratio)), full_width
        canvas = np.zeros((full_height, full_width, 3), np.uint8)
        canvas[:new_height, :new_width] = cv2.resize(np.ascontiguousarray(photo), (new_width, new_height))
        # The network takes RGB; insightface swaps here because OpenCV reads photos as BGR.
        mean, std = self._scrfd.input_mean, self._scrfd.input_std
        picture = cv2.dnn.blobFromImage(canvas, 1 / std, (full_width, full_height), (mean, mean, mean), swapRB=False)
        return _Letterboxed(picture=picture.astype(np.float32, copy=False), scale=new_height / height)

    def _decode(self, outputs: Sequence[NDArray[Any]], letterboxed: _Letterboxed) -> FoundFaces:
        """Faces out of what the network says of every place; overlapping ones are one face."""
        width = letterboxed.picture.shape[3]
        levels = len(self._strides)
        scores, boxes, landmarks = [], [], []
        for level, stride in enumerate(self._strides):
            level_scores = outputs[level].reshape(-1)
            # Few of thousands of places have a face, so only theirs are computed.
            places = np.flatnonzero(level_scores >= self._scrfd.det_thresh)
            centres = _centres(places // self._anchors, width // stride, stride)
            scores.append(level_scores[places])
            boxes.append(distance2bbox(centres, outputs[levels + level].reshape(-1, 4)[places] * stride))
            points = distance2kps(centres, outputs[2 * levels + level].reshape(-1, 10)[places] * stride)
            landmarks.append(points.reshape(-1, 5, 2))
        candidates = np.hstack([np.vstack(boxes) / letterboxed.scale, np.concatenate(scores)[:, None]])
        order = np.argsort(-candidates[:, 4], kind="stable")
        candidates = candidates.astype(np.float32, copy=False)[order]
        kept = self._scrfd.nms(candidates)
        # A network may answer with a box turned inside out.
        kept = [row for row in kept if (candidates[row, 2:4] > candidates[row, :2]).all()]
        points = (np.concatenate(landmarks) / letterboxed.scale).astype(np.float32, copy=False)[order]
        return FoundFaces(boxes=candidates[kept, :4], scores=candidates[kept, 4], landmarks=points[kept])


def _centres(cells: NDArray[np.intp], columns: int, stride: int) -> NDArray[np.float32]:
    """Where cells of a grid lie in its picture, [n, 2]."""
    return (np.stack([cells % columns, cells // columns], axis=-1) * stride).astype(np.float32)


def _has_batch_axis(session: Any) -> bool:
    """Whether photos can share a call: outputs then have an axis for them, and the input's is not fixed to one."""
    return len(session.get_outputs()[0].shape) == 3 and session.get_inputs()[0].shape[0] != 1
