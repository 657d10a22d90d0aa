"""Names of backends and how each is loaded."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from triptych_common.errors import ConfigurationError
from triptych_embedder.models.base import EmbeddingModel, EmbeddingOptions
from triptych_embedder.models.mobilenet_v2 import MobileNetV2

Loader = Callable[[str, EmbeddingOptions], EmbeddingModel]
"""Loads a model of a backend by its name there ("" where none was given). Raises ConfigurationError."""

BACKENDS: Mapping[str, Loader] = MappingProxyType({"bundled": MobileNetV2.load})
"""Value of TRIPTYCH_MODEL, up to a colon → how it is loaded; what follows the colon is the model's name there."""


def load_model(model: str, options: EmbeddingOptions) -> EmbeddingModel:
    """Load and warm up a model by its name.

    Raises ConfigurationError for an unknown name, missing weights, or a device that is not there.
    """
    backend, _, name = model.partition(":")
    loader = BACKENDS.get(backend)
    if loader is None:
        raise ConfigurationError(f"TRIPTYCH_MODEL is {model!r}, but the embedder knows {', '.join(sorted(BACKENDS))}.")
    loaded = loader(name, options)
    loaded.warm_up()
    return loaded
