"""open_clip's networks with their weights: never without, never downloaded, and loaded without running any pickle."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import open_clip
import torch

from triptych_common.errors import ConfigurationError
from triptych_common.models.description import Precision
from triptych_embedder.models.clip_preprocessing import Preprocessing, ResizeMode
from triptych_embedder.models.clip_weights import CONFIG_NAME, ClipWeights

_PREPROCESSING_KEYS: Final = ("mean", "std", "interpolation", "resize_mode")
_RESIZE_MODES: Final[dict[str, ResizeMode]] = {"shortest": "shortest", "longest": "longest", "squash": "squash"}
_HUB_TOKENIZER: Final = "hf_tokenizer_name"
"""Key of the text tower's configuration: the name of a tokenizer of Hugging Face's."""
_HUB_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipTowers:
    """A loaded model."""

    model: Any
    """open_clip's; ``encode_image`` and ``encode_text`` are its towers."""
    preprocessing: Preprocessing
    tokenize: Any
    """open_clip's tokenizer: texts → tokens [n, context]; None where that needs files that are not here."""
    cleaning: str
    """What the tokenizer does with a text first, by open_clip's names."""
    dimension: int


def load_towers(weights: ClipWeights, *, device: str, precision: Precision) -> ClipTowers:
    """Build the network that a checkpoint belongs to, and fill it.

    Raises ConfigurationError where open_clip does not know the network, or the checkpoint is damaged or of another.
    """
    from_directory = weights.directory is not None and not _is_known(weights)
    if from_directory:
        config, options = _read_config(weights), {}
        name = f"local-dir:{weights.directory}"
    else:
        config, options = _known_config(weights), _tag_options(weights)
        name = weights.architecture
    if config["text_cfg"].get("hf_model_name"):
        raise ConfigurationError(
            f"{weights.display_name} cannot run: its text tower is one that is built from Hugging Face's hub."
        )
    # open_clip's plain fp16 and bf16 keep some layers in fp32, which not all of its networks can: layer scale, CoCa.
    mode = precision if precision == "fp32" else f"pure_{precision}"
    try:
        with _quiet():
            model = open_clip.create_model(
                name,
                pretrained=None if from_directory else str(weights.checkpoint),
                require_pretrained=True,
                weights_only=True,
                precision=mode,
                device=device,
                **options,
            )
    except torch.OutOfMemoryError as error:
        raise ConfigurationError(f"{weights.display_name} does not fit into the memory of {device}.") from error
    except Exception as error:  # open_clip, PyTorch, pickle, zip and safetensors each have their own
        raise ConfigurationError(
            f"The weights {weights.checkpoint} are damaged, or not of this network ({first_line(error)}): fetch them"
            " again (`triptych models fetch production` for the default)."
        ) from error
    model.eval().requires_grad_(requires_grad=False)
    return ClipTowers(
        model=model,
        preprocessing=_preprocessing(model.visual.preprocess_cfg),
        tokenize=_tokenizer(name, config, weights),
        cleaning=_cleaning(config),
        dimension=int(config["embed_dim"]),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what open_clip says of each step of loading; it logs to the root logger, where nobody else does."""

    def is_serious(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    root = logging.getLogger()
    root.addFilter(is_serious)
    try:
        yield
    finally:
        root.removeFilter(is_serious)


def _is_known(weights: ClipWeights) -> bool:
    return bool(weights.tag and open_clip.get_pretrained_cfg(weights.architecture, weights.tag))


def _known_config(weights: ClipWeights) -> Mapping[str, Any]:
    config: Mapping[str, Any] | None = open_clip.get_model_config(weights.architecture)
    if config is None:
        raise ConfigurationError(
            f"open_clip {open_clip.__version__} knows no network {weights.architecture!r};"
            " `open_clip.list_models()` names them."
        )
    if weights.tag and not _is_known(weights):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(weights.architecture))
        raise ConfigurationError(
            f"open_clip {open_clip.__version__} knows no {weights.tag!r} of {weights.architecture}, only {tags}."
        )
    return config


def _read_config(weights: ClipWeights) -> Mapping[str, Any]:
    path = weights.checkpoint.parent / CONFIG_NAME
    try:
        config: Mapping[str, Any] = json.loads(path.read_bytes())["model_cfg"]
        int(config["embed_dim"]), dict(config["text_cfg"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(f"{path} is no configuration of open_clip ({first_line(error)}).") from error
    return config


def _tag_options(weights: ClipWeights) -> dict[str, Any]:
    """What open_clip does for weights that it downloads itself by their tag, and leaves to the caller for a file."""
    if not weights.tag:
        return {}
    known = open_clip.get_pretrained_cfg(weights.architecture, weights.tag)
    options: dict[str, Any] = {"force_preprocess_cfg": {key: known[key] for key in _PREPROCESSING_KEYS if key in known}}
    # open_clip only warns of such weights under the network's plain name, and computes other vectors with them.
    if known.get("quick_gelu"):
        options["force_quick_gelu"] = True
    return options


def _preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """open_clip's PreprocessCfg with its defaults filled in; raises ConfigurationError for what is not implemented."""
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
    resize_mode = _RESIZE_MODES.get(config.get("resize_mode") or "shortest")
    if resize_mode is None:
        raise ConfigurationError(f"The network's photos are resized by {config['resize_mode']!r}, which is not known.")
    return Preprocessing(
        height=int(height),
        width=int(width),
        mean=_three(config["mean"]),
        deviation=_three(config["std"]),
        interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
        resize_mode=resize_mode,
        fill=int(config.get("fill_color") or 0),
    )


def _three(values: Any) -> tuple[float, float, float]:
    if isinstance(values, int | float):
        return (float(values),) * 3
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _tokenizer(name: str, config: Mapping[str, Any], weights: ClipWeights) -> Any:
    """open_clip's tokenizer. One of Hugging Face's is read from beside the weights; None where it is not there.

    Raises ConfigurationError where it is damaged.
    """
    text = config["text_cfg"]
    if not text.get(_HUB_TOKENIZER):
        with _quiet():
            return open_clip.get_tokenizer(name)
    directory = weights.checkpoint.parent
    if not all((directory / name).is_file() for name in _HUB_TOKENIZER_FILES):
        return None
    try:
        return open_clip.tokenizer.HFTokenizer(
            str(directory),
            context_length=text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
            tokenizer_mode=text.get("tokenizer_mode"),
            **text.get("tokenizer_kwargs", {}),
        )
    except Exception as error:  # transformers and tokenizers each have their own
        raise ConfigurationError(f"The tokenizer in {directory} cannot be read ({first_line(error)}).") from error


def _cleaning(config: Mapping[str, Any]) -> str:
    """What the tokenizer does with a text first: what is configured, else what open_clip does otherwise."""
    text = config["text_cfg"]
    default = "whitespace" if text.get(_HUB_TOKENIZER) else "lower"
    return str((text.get("tokenizer_kwargs") or {}).get("clean", default))


def first_line(error: Exception) -> str:
    """An error of others' code in a few words."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
