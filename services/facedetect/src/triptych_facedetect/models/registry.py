"""Names of backends and how each is loaded."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from triptych_common.errors import ConfigurationError
from triptych_common.model_store import production_model
from triptych_facedetect.models.base import DetectionOptions, FaceModel
from triptych_facedetect.models.dlib_resnet import DlibResNet

Loader = Callable[[str, DetectionOptions], FaceModel]
"""Loads a model of a backend by its name there ("" where none was given). Raises ConfigurationError."""


def _load_insightface(name: str, options: DetectionOptions) -> FaceModel:
    """Imported only here: it brings OpenCV, scikit-image and more, which the bundled backend starts without."""
    try:
        from triptych_facedetect.models.insightface_model import InsightFace  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The insightface backend needs the package {error.name}, which is not installed: run"
            " `pip install 'triptych-facedetect[insightface]'`."
        ) from error
    return InsightFace.load(name, options)


def _load_production(name: str, options: DetectionOptions) -> FaceModel:
    model = production_model("facedetect")
    if name:
        raise ConfigurationError(f"`production` is {model}: name {name!r} as insightface:{name}.")
    return _load_insightface(model.partition(":")[2], options)


BACKENDS: Mapping[str, Loader] = MappingProxyType(
    {"bundled": DlibResNet.load, "insightface": _load_insightface, "production": _load_production}
)
"""Value of TRIPTYCH_MODEL, up to a colon → how it is loaded; what follows the colon is the model's name there."""


def load_model(model: str, options: DetectionOptions) -> FaceModel:
    """Load and warm up a model by its name.

    Raises ConfigurationError for an unknown name, missing weights, or a device that is not there.
    """
    backend, _, name = model.partition(":")
    loader = BACKENDS.get(backend)
    if loader is None:
        raise ConfigurationError(
            f"TRIPTYCH_MODEL is {model!r}, but the face detector knows {', '.join(sorted(BACKENDS))}."
        )
    loaded = loader(name, options)
    loaded.warm_up()
    return loaded
