"""Photos for the bench of the pipeline: JPEGs of mixed sizes, made on the spot from pictures in installed packages."""

import os
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

SMALLEST: Final = (640, 480)
LARGEST: Final = (4000, 3000)
"""12 megapixels."""
_QUALITY: Final = 88


def _sources() -> list[Image.Image]:
    """Pictures with and without faces."""
    files = [resources.files("skimage.data") / name for name in ("astronaut.png", "chelsea.png", "coffee.png")]
    files.append(resources.files("insightface.data") / "images" / "t1.jpg")
    pictures = []
    for file in files:
        with file.open("rb") as opened:
            pictures.append(Image.open(opened).convert("RGB"))
    return pictures


def make_corpus(directory: Path, *, photos: int, largest: tuple[int, int] = LARGEST, seed: int = 0) -> list[Path]:
    """Write ``photos`` JPEGs from 640 × 480 to ``largest``, their pixels spread evenly by order of magnitude."""
    directory.mkdir(parents=True)
    random = np.random.default_rng(seed)
    sources = _sources()
    # In a random order, so that neither loop nor session meets all large ones at its end.
    scales = random.permutation(np.geomspace(1.0, largest[0] / SMALLEST[0], photos))

    def write(number: int) -> Path:
        path = directory / f"IMG_{number:05}.JPG"
        width, height = round(SMALLEST[0] * scales[number]), round(SMALLEST[1] * scales[number])
        source = sources[number % len(sources)]
        # A little of the edge is cut off, differently for each: no two photos are the same.
        edge = 1 + number % 23
        box = (edge, edge, source.width - edge, source.height - edge)
        source.resize((width, height), Image.Resampling.BICUBIC, box=box).save(path, "JPEG", quality=_QUALITY)
        return path

    with ThreadPoolExecutor() as pool:
        return list(pool.map(write, range(photos)))


def link_corpus(corpus: list[Path], directory: Path) -> Path:
    """The same photos in another directory, as photos that no session has seen."""
    directory.mkdir(parents=True)
    for path in corpus:
        os.link(path, directory / path.name)
    return directory
