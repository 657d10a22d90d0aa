"""Names of backends and how each is loaded."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from triptych_common.errors import ConfigurationError
from triptych_common.models import Device
from triptych_embedder.models.base import EmbeddingModel
from triptych_embedder.models.mobilenet_v2 import MobileNetV2

Loader = Callable[[Device, int], EmbeddingModel]
"""Loads a model onto a device, for so many inference threads. Raises ConfigurationError."""

BACKENDS: Mapping[str, Loader] = MappingProxyType({"bundled": MobileNetV2.load})
"""Value of TRIPTYCH_MODEL → how it is loaded."""


def load_model(name: str, *, device: Device, inference_threads: int) -> EmbeddingModel:
    """Load and warm up a model by its name.

    Raises ConfigurationError for an unknown name, missing weights, or a device that is not there.
    """
    loader = BACKENDS.get(name)
    if loader is None:
        raise ConfigurationError(f"TRIPTYCH_MODEL is {name!r}, but the embedder knows {', '.join(sorted(BACKENDS))}.")
    model = loader(device, inference_threads)
    model.warm_up()
    return model
