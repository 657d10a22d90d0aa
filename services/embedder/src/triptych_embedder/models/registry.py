"""Names of backends and how each is loaded."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from triptych_common.errors import ConfigurationError
from triptych_embedder.models.base import EmbeddingModel, EmbeddingOptions
from triptych_embedder.models.clip_export_format import DESCRIPTION_NAME
from triptych_embedder.models.clip_extra import import_clip_module
from triptych_embedder.models.clip_onnx import OnnxClip, export_directory
from triptych_embedder.models.clip_weights import default_clip, find_weights
from triptych_embedder.models.mobilenet_v2 import MobileNetV2

Loader = Callable[[str, EmbeddingOptions], EmbeddingModel]
"""Loads a model of a backend by its name there ("" where none was given). Raises ConfigurationError."""


def _load_open_clip(name: str, options: EmbeddingOptions) -> EmbeddingModel:
    loaded: EmbeddingModel = import_clip_module("open_clip_model").OpenClip.load(name, options)
    return loaded


def _load_production(name: str, options: EmbeddingOptions) -> EmbeddingModel:
    """The default CLIP: its ONNX export where there is one, which needs no PyTorch, else its checkpoint."""
    network = default_clip()
    if name:
        raise ConfigurationError(f"`production` is {network}: name {name!r} as open_clip:NAME/TAG or onnx:NAME/TAG.")
    # One that is damaged is refused, not passed over.
    if (export_directory(network, options.models_dir) / DESCRIPTION_NAME).exists():
        return OnnxClip.load(network, options)
    # Missing weights are said before missing packages: fetching comes first.
    find_weights(network, options.models_dir)
    return _load_open_clip(network, options)


BACKENDS: Mapping[str, Loader] = MappingProxyType(
    {
        "bundled": MobileNetV2.load,
        "onnx": OnnxClip.load,
        "open_clip": _load_open_clip,
        "production": _load_production,
    }
)
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
