"""JPEGs as cameras make them, out of the sample pictures: enlarged, with grain at several scales, 4:2:0."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych_gateway.cli.samples.sources import PICTURES, find_pictures, open_picture

GRAIN = ((1, 3.0), (2, 4.0), (4, 5.0), (8, 5.0), (16, 5.0))
"""Size in pixels and deviation in levels of each grain: a phone's 12 megapixels come to about 3 MB."""


def make_photo(number: int, width: int, height: int, *, quality: int = 90, **options: Any) -> bytes:
    """The JPEG of photo ``number``, of the size given in pixels; options are Pillow's."""
    found = find_pictures()
    picture = PICTURES[number % len(PICTURES)]
    image = open_picture(picture, found[picture])
    scale = min(image.width / width, image.height / height)
    box = (0, 0, width * scale, height * scale)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box=box), np.float32)
    grainy = np.clip(pixels + _grain(number, width, height)[..., None], 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grainy).save(file, "JPEG", quality=quality, **({"subsampling": 2} | options))
    return file.getvalue()


def _grain(seed: int, width: int, height: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    grain = np.zeros((height, width), np.float32)
    for size, deviation in GRAIN:
        coarse = random.normal(0, deviation, (height // size + 1, width // size + 1)).astype(np.float32)
        grain += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))
    return grain
