"""Which model each service is to run: what was chosen once, and what the environment says instead."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from triptych_common.model_store.manifest import PHOTO_SERVICES, PhotoService, production_model
from triptych_gateway.cli.settings import PREFIX, CommandSettings
from triptych_gateway.cli.stack.data_directory import DataDirectory, write_private
from triptych_gateway.cli.stack.errors import StackError

BUNDLED: Final = "bundled"
PRODUCTION: Final = "production"
DEFAULT: Final = "default"
COMMAND: Final = "triptych models use"
_BACKENDS: Final[Mapping[PhotoService, tuple[str, ...]]] = {
    "embedder": (BUNDLED, PRODUCTION, "open_clip", "onnx"),
    "facedetect": (BUNDLED, PRODUCTION, "insightface"),
}
_REMEMBERED: Final = TypeAdapter(dict[PhotoService, str])


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The model of a service."""

    model: str
    """As TRIPTYCH_MODEL takes it."""
    by: str
    """What has chosen it: a variable, a command, or ``default``."""

    def origin(self) -> str:
        """What has chosen it, in words."""
        if self.by == DEFAULT:
            return "by default"
        return f"chosen by `{self.by}`" if self.by == COMMAND else f"set by {self.by}"


def chosen_models(data_directory: DataDirectory, environment: Mapping[str, str]) -> dict[PhotoService, Choice]:
    """The model of each service: its own variable, else TRIPTYCH_MODEL, else the remembered choice, else bundled.

    Raises:
        StackError: what was remembered cannot be read.
    """
    settings = CommandSettings.of(environment)
    own = {"embedder": settings.embedder_model, "facedetect": settings.facedetect_model}
    remembered = remembered_models(data_directory)
    choices: dict[PhotoService, Choice] = {}
    for service in PHOTO_SERVICES:
        if own[service]:
            choices[service] = Choice(model=own[service], by=f"{PREFIX}{service.upper()}_MODEL")
        elif settings.model:
            choices[service] = Choice(model=settings.model, by=f"{PREFIX}MODEL")
        elif service in remembered:
            choices[service] = Choice(model=remembered[service], by=COMMAND)
        else:
            choices[service] = Choice(model=BUNDLED, by=DEFAULT)
    return choices


def models_directory(data_directory: DataDirectory, environment: Mapping[str, str]) -> Path:
    """Where weights are kept: what TRIPTYCH_MODELS_DIR says, else a part of the data directory; absolute."""
    named = CommandSettings.of(environment).models_dir
    return Path(named).expanduser().absolute() if named else data_directory.models


def remembered_models(data_directory: DataDirectory) -> dict[PhotoService, str]:
    """What `triptych models use` has chosen, for those services for which it was used.

    Raises:
        StackError: the file is there and cannot be read.
    """
    path = data_directory.chosen_models
    try:
        return _REMEMBERED.validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise StackError(f"{path} is damaged: run `triptych models use bundled` or `production` again.") from error


def remember_models(data_directory: DataDirectory, models: Mapping[PhotoService, str]) -> None:
    """Choose models for some services; the others' stay.

    Raises:
        StackError: it cannot be written.
    """
    data_directory.create()
    try:
        earlier = remembered_models(data_directory)
    except StackError:
        # A damaged file is what this command is said to repair.
        earlier = {}
    try:
        write_private(data_directory.chosen_models, json.dumps({**earlier, **models}, indent=2) + "\n")
    except OSError as error:
        raise StackError(f"{data_directory.chosen_models} cannot be written: {error.strerror}.") from error


def same_space(service: PhotoService, model: str, other: str) -> bool:
    """Whether vectors of two models of a service may be compared: an export's are those of its weights."""

    def weights(name: str) -> str:
        backend, colon, rest = (production_model(service) if name == PRODUCTION else name).partition(":")
        return f"{'open_clip' if backend == 'onnx' else backend}{colon}{rest}"

    return weights(model) == weights(other)


def models_by_service(words: list[str]) -> dict[PhotoService, str]:
    """Which service is to run what, of ``bundled``, ``production``, ``BACKEND:NAME`` or ``SERVICE=MODEL``.

    Raises:
        ValueError: a word names no model that a service knows, or two name one service's.
    """
    chosen: dict[PhotoService, str] = {}
    for word in words:
        for service, model in _meant_by(word).items():
            if service in chosen:
                raise ValueError(f"{chosen[service]} and {model} are both of the {service}: name one.")
            chosen[service] = model
    return chosen


def _meant_by(word: str) -> dict[PhotoService, str]:
    named: PhotoService | None = next((service for service in PHOTO_SERVICES if word.startswith(f"{service}=")), None)
    model = word if named is None else word.partition("=")[2]
    backend = model.partition(":")[0]
    knowing = [service for service in PHOTO_SERVICES if backend in _BACKENDS[service]]
    if named is not None:
        if named not in knowing:
            raise ValueError(f"The {named} does not know {model!r}, but {', '.join(_BACKENDS[named])}.")
        return {named: model}
    if not knowing:
        every = dict.fromkeys(backend for backends in _BACKENDS.values() for backend in backends)
        raise ValueError(f"{word!r} is no model: name one of {', '.join(every)}, with its name after a colon.")
    return dict.fromkeys(knowing, model)
