"""Real photographs, where an installed package carries them."""

from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_NAMES: Final = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def photo_paths() -> list[Path]:
    """Their files."""
    return [Path(str(resources.files("skimage.data") / name)) for name in _NAMES]


@lru_cache
def _photos() -> tuple[NDArray[np.uint8], ...]:
    return tuple(np.asarray(Image.open(path).convert("RGB")) for path in photo_paths())


def photos() -> list[NDArray[np.uint8]]:
    """Four photos, each of its own size."""
    return list(_photos())
