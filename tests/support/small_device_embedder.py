"""An embedder whose device has memory for two photos at a time, as a program for tests of what becomes of it.

A photo's vector is its first pixel.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from triptych_common.media import Resolution
from triptych_common.models.description import DeviceMemoryError, ModelInfo
from triptych_common.process import run_process
from triptych_embedder.main import EmbedderSettings, serve
from triptych_embedder.models.base import EmbeddingModel, EmbeddingOptions

PHOTOS_THAT_FIT = 2


class SmallDevice(EmbeddingModel):
    """Out of memory for more than two photos."""

    resolution = Resolution()
    micro_batch = 8

    def __init__(self) -> None:
        self.info = ModelInfo(
            model_id="first-pixel",
            pack="test",
            display_name="First pixel",
            dimension=3,
            metric="euclidean",
            device="cpu",
            licence="CC0-1.0",
        )

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if len(images) > PHOTOS_THAT_FIT:
            raise DeviceMemoryError(f"no memory for {len(images)} photos")
        return np.stack([image[0, 0] for image in images]).astype(np.float32)


def load(model: str, options: EmbeddingOptions) -> EmbeddingModel:
    """The model, whatever is asked for."""
    return SmallDevice()


if __name__ == "__main__":
    run_process("embedder", EmbedderSettings, partial(serve, load=load))
