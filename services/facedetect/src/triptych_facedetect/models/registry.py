"""Names of backends and how each is loaded."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from triptych_common.errors import ConfigurationError
from triptych_facedetect.models.base import DetectionOptions, FaceModel
from triptych_facedetect.models.dlib_resnet import DlibResNet

Loader = Callable[[DetectionOptions], FaceModel]
"""Loads a model. Raises ConfigurationError."""

BACKENDS: Mapping[str, Loader] = MappingProxyType({"bundled": DlibResNet.load})
"""Value of TRIPTYCH_MODEL → how it is loaded."""


def load_model(name: str, options: DetectionOptions) -> FaceModel:
    """Load and warm up a model by its name.

    Raises ConfigurationError for an unknown name, missing weights, or a device that is not there.
    """
    loader = BACKENDS.get(name)
    if loader is None:
        raise ConfigurationError(
            f"TRIPTYCH_MODEL is {name!r}, but the face detector knows {', '.join(sorted(BACKENDS))}."
        )
    model = loader(options)
    model.warm_up()
    return model
