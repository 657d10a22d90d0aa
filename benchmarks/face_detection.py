"""Speed of the insightface backend against a loop over InsightFace's own ``FaceAnalysis.get``.

Both run the same files on the same photos in the same process, in turns, on as many threads as there are cores. The
files are those of buffalo_l where they were fetched, else networks that cost as much and find coloured patches
(``benchmarks/face_networks.py``).

- ``speedup``: photos per second of the backend ÷ those of the loop; the median of all rounds, and each of them.
- ``faces_differ``: faces that only one of both found; ``box_pixels``: the most that an edge of a box lies elsewhere;
  ``cosine``: the least between both vectors of a face.
- ``recogniser_calls``: of the backend, for so many ``micro_batches`` with faces in one round.

python benchmarks/face_detection.py --rounds 3
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis
from numpy.typing import NDArray
from PIL import Image

from benchmarks.face_networks import write_costly_pack
from tests.support.insightface_pack import photo_with_faces
from triptych_common.models.devices import CPU
from triptych_common.settings import usable_cores
from triptych_facedetect.models.base import DetectionOptions, Face
from triptych_facedetect.models.insightface_model import InsightFace

FACES: Final = (0, 1, 2, 0, 3, 1, 5, 2, 0, 1, 20, 4, 1, 0, 2, 8, 1, 3, 0, 12, 2, 1, 6, 0)
"""In each photo: most have few, some have many."""
SIZES: Final = ((1440, 1920), (1920, 1440), (1280, 1920), (1080, 1920))
"""Height and width to which the service shrinks photos as it decodes them for this backend."""

Photos = list[NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Round:
    """One pass of both over all photos."""

    loop_seconds: float
    backend_seconds: float

    @property
    def speedup(self) -> float:
        return self.loop_seconds / self.backend_seconds


@contextmanager
def counted_faces(side_pixels: int) -> Iterator[list[int]]:
    """Number of faces in each call of a recogniser, wherever it is run."""
    calls: list[int] = []
    run = onnxruntime.InferenceSession.run

    def counting(self: Any, outputs: Any, feeds: dict[str, Any], *more: Any) -> Any:
        calls.extend(len(pictures) for pictures in feeds.values() if pictures.shape[2:] == (side_pixels, side_pixels))
        return run(self, outputs, feeds, *more)

    onnxruntime.InferenceSession.run = counting
    try:
        yield calls
    finally:
        onnxruntime.InferenceSession.run = run


def patches() -> Photos:
    """Photos for stand-ins."""
    sizes = [SIZES[number % len(SIZES)] for number in range(len(FACES))]
    return [
        photo_with_faces(count, height=height, width=width, seed=number)
        for number, (count, (height, width)) in enumerate(zip(FACES, sizes, strict=True))
    ]


def people() -> Photos:
    """Photos for real weights: the pictures of installed packages with 0, 1 and 6 faces, beside each other."""
    pictures = [
        _picture("skimage.data", "chelsea.png"),
        _picture("skimage.data", "astronaut.png"),
        _picture("insightface.data", "images/t1.jpg"),
    ]
    rows = [[0], [1], [1, 0], [2], [1, 1], [0, 0], [2, 1], [2, 2], [1, 0, 1], [2, 2, 2], [0, 0, 1], [2, 0]]
    return [np.hstack([pictures[number] for number in row]) for row in rows]


def _picture(package: str, name: str) -> NDArray[np.uint8]:
    with resources.as_file(resources.files(package) / name) as path, Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((960, 720)))


def find_all(model: InsightFace, photos: Photos) -> list[list[Face]]:
    """As the service does it: micro-batches, as many at once as the model takes."""
    batches = [photos[start : start + model.micro_batch] for start in range(0, len(photos), model.micro_batch)]
    with ThreadPoolExecutor(model.lanes) as lanes:
        return [faces for found in lanes.map(model.detect, batches) for faces in found]


def compare(photos: Photos, ours: Sequence[Sequence[Face]], theirs: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """How far both answers are from each other."""
    differ = sum(abs(len(faces) - len(others)) for faces, others in zip(ours, theirs, strict=True))
    box_pixels, cosine = 0.0, 1.0
    for photo, faces, others in zip(photos, ours, theirs, strict=True):
        height, width = photo.shape[:2]
        for face, other in zip(faces, others, strict=False):
            box = np.array([face.x, face.y, face.x + face.width, face.y + face.height]) * ([width, height] * 2)
            box_pixels = max(box_pixels, float(np.abs(box - other.bbox).max()))
            cosine = min(cosine, float(face.embedding @ other.normed_embedding))
    return {"faces_differ": differ, "box_pixels": round(box_pixels, 4), "cosine": round(cosine, 6)}


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(pack: Path, photos: Photos, *, rounds: int) -> dict[str, Any]:
    """Both in turns, the one that begins changing from round to round."""
    threads = usable_cores()
    options = DetectionOptions(
        device=CPU, threads=threads, min_score=None, long_side_pixels=None, models_dir=pack.parent.parent
    )
    model = InsightFace.load(str(pack), options)
    model.warm_up()
    analysis = FaceAnalysis(
        name=str(pack), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"]
    )
    analysis.prepare(ctx_id=0, det_size=(640, 640))
    # Reading a file with OpenCV gives BGR: the loop has it without having to swap.
    as_read = [cv2.cvtColor(photo, cv2.COLOR_RGB2BGR) for photo in photos]

    def loop() -> list[Any]:
        return [analysis.get(photo) for photo in as_read]

    with counted_faces(112) as calls:
        ours = find_all(model, photos)
    answer = compare(photos, ours, loop())
    done: list[Round] = []
    for number in range(rounds):
        seconds = {}
        for name in ("loop", "backend") if number % 2 else ("backend", "loop"):
            seconds[name] = timed(loop if name == "loop" else lambda: find_all(model, photos))
        done.append(Round(loop_seconds=seconds["loop"], backend_seconds=seconds["backend"]))
        print(f"round {number + 1}: loop {seconds['loop']:.2f} s, backend {seconds['backend']:.2f} s", flush=True)
    batches = [ours[start : start + model.micro_batch] for start in range(0, len(ours), model.micro_batch)]
    model.close()
    return {
        "pack": model.info.model_id,
        "threads": threads,
        "photos": len(photos),
        "faces": sum(len(faces) for faces in ours),
        "micro_batch": model.micro_batch,
        "micro_batches": sum(any(faces) for faces in batches),
        "recogniser_calls": len(calls),
        **answer,
        "loop_photos_per_second": round(len(photos) / statistics.median(one.loop_seconds for one in done), 2),
        "backend_photos_per_second": round(len(photos) / statistics.median(one.backend_seconds for one in done), 2),
        "rounds": [round(one.speedup, 3) for one in done],
        "speedup": round(statistics.median(one.speedup for one in done), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="passes of both over all photos")
    parser.add_argument("--pack", type=Path, help="directory of a real pack, such as models/insightface/buffalo_l")
    arguments = parser.parse_args()
    # InsightFace calls what scikit-image has renamed, once a face.
    warnings.filterwarnings("ignore", category=FutureWarning)
    if arguments.pack is not None and arguments.pack.is_dir():
        print(json.dumps(measure(arguments.pack.resolve(), people(), rounds=arguments.rounds)))
        return
    with tempfile.TemporaryDirectory(prefix="triptych-faces-") as folder:
        pack = write_costly_pack(Path(folder) / "insightface" / "stand-in")
        print(json.dumps(measure(pack, patches(), rounds=arguments.rounds)))


if __name__ == "__main__":
    main()
