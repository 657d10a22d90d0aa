"""Which CLIP weights a name means, and where their files are, once they are what the model store pins."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from triptych_common.errors import ConfigurationError
from triptych_common.model_store import entry_name, locate, production_model, read_manifest

CONFIG_NAME: Final = "open_clip_config.json"

_BACKEND: Final = "open_clip"
_EXAMPLE: Final = "ViT-B-32/laion2b_s34b_b79k"
_LOCAL_DIRECTORY: Final = "local-dir:"
_NAME: Final = re.compile(r"(?P<architecture>[A-Za-z0-9][A-Za-z0-9_.-]*)(/(?P<tag>[A-Za-z0-9][A-Za-z0-9_.-]*))?")
_CHECKPOINT_NAMES: Final = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
"""Names of checkpoints in a directory, in the order in which open_clip itself looks for them."""
_CHECKPOINT_SUFFIXES: Final = (".safetensors", ".bin", ".pth")
_DIGEST_CHARACTERS: Final = 12
_MIT: Final = ("openai", "laion400m", "laion2b", "datacomp")
"""Beginnings of the tags whose weights are published under the MIT licence (their model cards)."""


@dataclass(frozen=True, kw_only=True)
class ClipWeights:
    """A checkpoint that is there, and what it is called."""

    architecture: str
    """open_clip's name of the network; empty where the configuration in ``directory`` describes it."""
    tag: str
    """open_clip's name of the training, which tells how photos are prepared; empty where none was given."""
    directory: Path | None
    """Of a checkpoint with a configuration of its own."""
    checkpoint: Path
    model_id: str
    """Names the space of its vectors."""
    stored_as: str
    """Name of the directory in which an export of it is kept."""
    display_name: str
    licence: str


def default_clip() -> str:
    """What ``production`` means, as NAME/TAG."""
    return production_model("embedder").removeprefix(f"{_BACKEND}:")


def stored_name(name: str) -> str:
    """The directory of NAME/TAG in the model store. Raises ConfigurationError for a name of another form."""
    match = _NAME.fullmatch(name)
    if match is None or match["tag"] is None:
        raise ConfigurationError(f"{name!r} names no CLIP weights: give NAME/TAG, such as {_EXAMPLE}.")
    return f"{match['architecture']}__{match['tag']}"


def find_weights(name: str, models_dir: Path) -> ClipWeights:
    """The weights that ``NAME/TAG``, ``NAME@/path``, ``NAME/TAG@/path`` or ``local-dir:/path`` mean.

    Raises ConfigurationError, with the command to run, where they are not there.
    """
    if name.startswith(_LOCAL_DIRECTORY):
        return _in_directory(Path(name.removeprefix(_LOCAL_DIRECTORY)))
    network, at, path = name.partition("@")
    match = _NAME.fullmatch(network)
    if match is None or (match["tag"] is None and not at):
        raise ConfigurationError(
            f"{name!r} names no weights, and without any the vectors would be noise: give open_clip:NAME/TAG (such as"
            f" {_EXAMPLE}), open_clip:NAME@/path/to/checkpoint or open_clip:local-dir:/path."
        )
    architecture, tag = match["architecture"], match["tag"] or ""
    if at:
        return _at_path(architecture, tag, Path(path))
    return _in_store(architecture, tag, models_dir)


def _in_store(architecture: str, tag: str, models_dir: Path) -> ClipWeights:
    network = f"{architecture}/{tag}"
    stored_as = stored_name(network)
    directory = models_dir / _BACKEND / stored_as
    entry = read_manifest().find(entry_name(_BACKEND, network))
    if entry is not None:
        locate(entry.name, models_dir)
    checkpoint = _checkpoint_in(directory) if directory.is_dir() else None
    if checkpoint is None:
        raise ConfigurationError(
            f"The weights {network} are not in {models_dir}, and no command fetches them: put their checkpoint into"
            f" {directory} as {_CHECKPOINT_NAMES[0]} or {_CHECKPOINT_NAMES[2]}."
        )
    return ClipWeights(
        architecture=architecture,
        tag=tag,
        directory=directory if (directory / CONFIG_NAME).is_file() else None,
        checkpoint=checkpoint,
        model_id=f"clip:{network}",
        stored_as=stored_as,
        display_name=f"CLIP {architecture} ({tag})",
        licence=entry.licence.name if entry is not None else _licence(tag),
    )


def _at_path(architecture: str, tag: str, checkpoint: Path) -> ClipWeights:
    if not checkpoint.is_file():
        raise ConfigurationError(f"There is no checkpoint {checkpoint}: set TRIPTYCH_MODEL to where it is.")
    digest = _digest(checkpoint)
    return ClipWeights(
        architecture=architecture,
        tag=tag,
        directory=None,
        checkpoint=checkpoint,
        model_id=f"clip:{architecture}@{digest}",
        stored_as=f"{architecture}__{digest}",
        display_name=f"CLIP {architecture} ({checkpoint.name})",
        licence="your own checkpoint",
    )


def _in_directory(directory: Path) -> ClipWeights:
    if not (directory / CONFIG_NAME).is_file():
        raise ConfigurationError(
            f"There is no {CONFIG_NAME} in {directory}, which local-dir: needs beside the weights."
        )
    checkpoint = _checkpoint_in(directory)
    if checkpoint is None:
        raise ConfigurationError(
            f"There is no checkpoint in {directory}, or several: put one there, named {_CHECKPOINT_NAMES[0]}."
        )
    digest = _digest(checkpoint)
    return ClipWeights(
        architecture="",
        tag="",
        directory=directory,
        checkpoint=checkpoint,
        model_id=f"clip:local-dir@{digest}",
        stored_as=f"local-dir__{digest}",
        display_name=f"CLIP {directory.name}",
        licence="your own checkpoint",
    )


def _checkpoint_in(directory: Path) -> Path | None:
    """The checkpoint that open_clip would take from a directory; None where there is none, or no telling which."""
    for name in _CHECKPOINT_NAMES:
        if (directory / name).is_file():
            return directory / name
    others = [path for path in directory.iterdir() if path.suffix in _CHECKPOINT_SUFFIXES and path.is_file()]
    return others[0] if len(others) == 1 else None


def _licence(tag: str) -> str:
    return "MIT" if tag.startswith(_MIT) else "as published with the weights"


def _digest(checkpoint: Path) -> str:
    try:
        with checkpoint.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGEST_CHARACTERS]
    except OSError as error:
        raise ConfigurationError(f"The checkpoint {checkpoint} cannot be read: {error.strerror}.") from error
