"""Bare loops over the files of a directory: the decoding and the models of the services, without anything around them.

Prints the photos per second of each loop as JSON. Every loop is a plain one; the fastest is what the pipeline is held
against:

- ``serial``: decode one, compute one;
- ``threaded``: as many threads as the services use, each decoding and computing photo by photo;
- ``batched``: such threads decode, and one computes micro-batches.

The last two may be given the first of the photos only: where a photo takes long, they cannot be the fastest.

python benchmarks/pipeline_loops.py embed|detect|decode DIRECTORY [--few PHOTOS_OF_THE_LAST_TWO] [--only LOOP]
"""

import argparse
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_common.media import Resolution, decode_image
from triptych_common.models.devices import CPU
from triptych_common.settings import PhotoServiceSettings, usable_cores
from triptych_embedder.models.base import EmbeddingOptions
from triptych_embedder.models.mobilenet_v2 import MobileNetV2
from triptych_embedder.models.registry import load_model as load_embedder
from triptych_facedetect.main import FaceDetectSettings
from triptych_facedetect.models.base import DetectionOptions
from triptych_facedetect.models.registry import load_model as load_detector

Compute = Callable[[Sequence[NDArray[np.uint8]]], Any]


def _model(what: str) -> tuple[Compute, Resolution, int]:
    """What computes, how far photos are shrunk for it, and its micro-batch."""
    settings = PhotoServiceSettings()
    if what == "decode":
        return len, MobileNetV2.resolution, MobileNetV2.micro_batch
    if what == "embed":
        embedder = load_embedder(
            "bundled",
            EmbeddingOptions(device=CPU, threads=settings.inference_threads, models_dir=settings.models_dir),
        )
        return embedder.embed_images, embedder.resolution, embedder.micro_batch
    faces = FaceDetectSettings()
    detector = load_detector(
        "bundled",
        DetectionOptions(
            device=CPU,
            threads=faces.inference_threads,
            min_score=faces.min_face_score,
            long_side_pixels=faces.detection_long_side_pixels,
            models_dir=faces.models_dir,
        ),
    )
    return detector.detect, detector.resolution, detector.micro_batch


class Loops:
    """The three loops over the same files."""

    def __init__(self, compute: Compute, resolution: Resolution, micro_batch: int) -> None:
        self._compute = compute
        self._resolution = resolution
        self._micro_batch = micro_batch
        self._max_pixels = PhotoServiceSettings().max_image_pixels

    def _decoded(self, path: Path) -> NDArray[np.uint8]:
        return decode_image(path.read_bytes(), resolution=self._resolution, max_pixels=self._max_pixels).pixels

    def _one(self, path: Path) -> None:
        self._compute([self._decoded(path)])

    def serial(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self._one(path)

    def threaded(self, paths: Sequence[Path]) -> None:
        with ThreadPoolExecutor(usable_cores()) as pool:
            for _ in pool.map(self._one, paths):
                pass

    def batched(self, paths: Sequence[Path]) -> None:
        left = deque(paths)
        ahead: deque[Future[NDArray[np.uint8]]] = deque()
        with ThreadPoolExecutor(usable_cores()) as pool:
            while left or ahead:
                while left and len(ahead) < 3 * self._micro_batch:
                    ahead.append(pool.submit(self._decoded, left.popleft()))
                self._compute([ahead.popleft().result() for _ in range(min(self._micro_batch, len(ahead)))])


def _rate(loop: Callable[[Sequence[Path]], None], paths: Sequence[Path]) -> float:
    began = time.perf_counter()
    loop(paths)
    return round(len(paths) / (time.perf_counter() - began), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("embed", "detect", "decode"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--few", type=int, default=None)
    parser.add_argument("--only", choices=("serial", "threaded", "batched"), default=None)
    arguments = parser.parse_args()
    paths = sorted(arguments.directory.iterdir())
    loops = Loops(*_model(arguments.what))
    loops.threaded(paths[:4])
    few = paths[: arguments.few]
    over = {"threaded": paths, "serial": few, "batched": few}
    kinds = [arguments.only] if arguments.only else list(over)
    print(json.dumps({kind: _rate(getattr(loops, kind), over[kind]) for kind in kinds}))


if __name__ == "__main__":
    main()
