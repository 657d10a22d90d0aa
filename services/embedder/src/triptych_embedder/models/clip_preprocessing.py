"""Photos as CLIP networks take them: open_clip's transforms without PyTorch, so that every backend sees the same."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych_common.media import Resolution

ResizeMode = Literal["shortest", "longest", "squash"]
"""The shorter side fits and the middle is cut out; the longer side fits and the rest is filled; or both sides fit."""
Interpolation = Literal["bicubic", "bilinear"]

_FILTERS: Final = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_LONG: Final = 4
"""Pictures with a side this many times the other are not resized as a whole: only the part that is cut out of them."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What is done to a photo before a CLIP network sees it; the fields are those of open_clip's PreprocessCfg."""

    height: int
    """Of what the network takes, in pixels."""
    width: int
    mean: tuple[float, float, float]
    """Of red, green and blue, 0..1."""
    deviation: tuple[float, float, float]
    interpolation: Interpolation
    resize_mode: ResizeMode
    fill: int
    """Value 0..255 around a photo that does not fill the picture (``longest``)."""

    @property
    def resolution(self) -> Resolution:
        """How far a photo may be shrunk before: to twice what is needed, so that the resizing that the network was
        trained with is done here."""
        if self.resize_mode == "longest":
            return Resolution(longest_side_pixels=2 * max(self.height, self.width))
        return Resolution(shortest_side_pixels=2 * max(self.height, self.width))

    def prepare(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A photo [height, width, 3], RGB, as the network takes it, float32 [3, height, width]."""
        image = Image.fromarray(photo)
        if self.resize_mode == "squash":
            picture = _resize(image, self.width, self.height, self.interpolation)
        elif self.resize_mode == "longest":
            picture = self._fit_longest(image)
        else:
            picture = self._fit_shortest(image)
        values = np.asarray(picture, dtype=np.float32) / np.float32(255)
        normal = (values - np.array(self.mean, np.float32)) / np.array(self.deviation, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1))

    def prepare_all(self, photos: Sequence[NDArray[np.uint8]], *, threads: int) -> NDArray[np.float32]:
        """Photos, each of its own size, as one batch [n, 3, height, width]; n ≥ 1, ``threads`` ≥ 1."""
        workers = min(threads, len(photos))
        if workers == 1:
            return np.stack([self.prepare(photo) for photo in photos])
        # Pillow lets go of the interpreter while it resizes.
        with ThreadPoolExecutor(workers, thread_name_prefix="prepare") as pool:
            return np.stack(list(pool.map(self.prepare, photos)))

    def _fit_shortest(self, image: Image.Image) -> Image.Image:
        if self.height == self.width:
            # torchvision.transforms.Resize(size): the longer side is truncated to whole pixels.
            shortest = min(image.size)
            scaled_width = int(self.width * image.width / shortest)
            scaled_height = int(self.height * image.height / shortest)
            interpolation = self.interpolation
        else:
            # open_clip's ResizeKeepRatio, which it gives no interpolation here and which then takes its own default.
            ratio = min(image.height / self.height, image.width / self.width)
            scaled_width, scaled_height = round(image.width / ratio), round(image.height / ratio)
            interpolation = "bicubic"
        left, top = _middle(scaled_width, self.width), _middle(scaled_height, self.height)
        if max(image.size) >= _LONG * min(image.size):
            across, down = image.width / scaled_width, image.height / scaled_height
            box = (left * across, top * down, (left + self.width) * across, (top + self.height) * down)
            return image.resize((self.width, self.height), _FILTERS[interpolation], box=box)
        resized = _resize(image, scaled_width, scaled_height, interpolation)
        return resized.crop((left, top, left + self.width, top + self.height))

    def _fit_longest(self, image: Image.Image) -> Image.Image:
        ratio = max(image.height / self.height, image.width / self.width)
        width, height = max(1, round(image.width / ratio)), max(1, round(image.height / ratio))
        resized = _resize(image, width, height, self.interpolation)
        picture = Image.new("RGB", (self.width, self.height), (self.fill,) * 3)
        picture.paste(resized, ((self.width - width) // 2, (self.height - height) // 2))
        return picture


def _resize(image: Image.Image, width: int, height: int, interpolation: Interpolation) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), _FILTERS[interpolation])


def _middle(whole: int, part: int) -> int:
    """Where the middle part of a side begins; torchvision's CenterCrop rounds halves to even."""
    return round((whole - part) / 2)
