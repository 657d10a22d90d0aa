"""What an ONNX export of a CLIP model consists of: two networks, the tokenizer's merges, and model.json about them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from triptych_common.errors import ConfigurationError
from triptych_embedder.models.clip_preprocessing import Interpolation, Preprocessing, ResizeMode
from triptych_embedder.models.clip_tokenizer import Cleaning, ClipTokenizer

DESCRIPTION_NAME: Final = "model.json"
IMAGE_NAME: Final = "image.onnx"
TEXT_NAME: Final = "text.onnx"
MERGES_NAME: Final = "merges.txt"
HUB_TOKENIZER_NAME: Final = "tokenizer.json"
IMAGE_INPUT, TEXT_INPUT, OUTPUT = "pictures", "tokens", "features"
"""Names in the networks: float32 [n, 3, height, width], int64 [n, context length] and float32 [n, dimension]."""
FORMAT: Final = 1


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, allow_inf_nan=False
    )


class PreprocessingPart(_Part):
    """How a photo is prepared; see ``Preprocessing``."""

    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    interpolation: Interpolation
    resize_mode: ResizeMode
    fill: int = Field(ge=0, le=255)


class ClipTokenizerPart(_Part):
    """How a text becomes tokens; see ``ClipTokenizer``."""

    kind: Literal["clip_byte_pairs"] = "clip_byte_pairs"
    context_length: int = Field(ge=2, le=65536)
    cleaning: Cleaning

    @property
    def file_name(self) -> str:
        """The file that it needs."""
        return MERGES_NAME


class HubTokenizerPart(_Part):
    """Likewise, by a tokenizer of Hugging Face's; see ``HubTokenizer``."""

    kind: Literal["hugging_face"] = "hugging_face"
    context_length: int = Field(ge=2, le=65536)
    cleaning: Cleaning
    pad_token: int = Field(ge=0)
    dropped_token: int | None

    @property
    def file_name(self) -> str:
        """The file that it needs."""
        return HUB_TOKENIZER_NAME


TokenizerPart: TypeAlias = Annotated[ClipTokenizerPart | HubTokenizerPart, Field(discriminator="kind")]
Tokenize: TypeAlias = Callable[[Sequence[str]], NDArray[np.int64]]
"""Texts to tokens [n, context length]."""


class FilePart(_Part):
    """One file beside model.json."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class ExportDescription(_Part):
    """The content of model.json."""

    format: Literal[1] = FORMAT
    model_id: str = Field(min_length=1)
    display_name: str
    licence: str
    dimension: int = Field(ge=1, le=65536)
    metric: Literal["cosine"] = "cosine"
    preprocessing: PreprocessingPart
    tokenizer: TokenizerPart | None
    """None where texts cannot be embedded."""
    files: Mapping[str, FilePart]
    checked_cosine: Mapping[str, float]
    """Least cosine to PyTorch's vectors that was seen at the export, of each network."""
    made_with: Mapping[str, str]

    def to_preprocessing(self) -> Preprocessing:
        """The preprocessing that it describes."""
        return Preprocessing(**self.preprocessing.model_dump())


def read_description(directory: Path) -> ExportDescription:
    """The description of an export whose files are all there and whole. Raises ConfigurationError."""
    path = directory / DESCRIPTION_NAME
    try:
        description = ExportDescription.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(f"There is no ONNX export in {directory}: {_HOW_TO_EXPORT}.") from error
    except (OSError, ValidationError) as error:
        raise ConfigurationError(f"{path} cannot be read, or is of another version: {_HOW_TO_EXPORT}.") from error
    tokenizer = description.tokenizer
    needed = {IMAGE_NAME} | ({TEXT_NAME, tokenizer.file_name} if tokenizer is not None else set())
    missing = needed - set(description.files)
    if missing:
        raise ConfigurationError(f"{path} names no {', '.join(sorted(missing))}: {_HOW_TO_EXPORT}.")
    for name, expected in description.files.items():
        _check_file(directory, name, expected)
    return description


def write_description(directory: Path, description: ExportDescription) -> None:
    """Write model.json."""
    content = json.dumps(description.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False)
    (directory / DESCRIPTION_NAME).write_text(content + "\n", encoding="utf-8")


def describe_file(path: Path) -> FilePart:
    """Digest and size of a file."""
    with path.open("rb") as file:
        return FilePart(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size_bytes=path.stat().st_size)


def write_merges(directory: Path, merges: Mapping[tuple[str, str], Any]) -> None:
    """Write the tokenizer's merges, a pair a line, in the order of ``merges``."""
    lines = "".join(f"{first} {second}\n" for first, second in merges)
    (directory / MERGES_NAME).write_text(lines, encoding="utf-8")


def read_tokenizer(directory: Path, part: TokenizerPart) -> Tokenize | None:
    """The tokenizer of an export whose files are whole; None where it needs a library that is not installed.

    Raises ConfigurationError for a file that holds none.
    """
    content = (directory / part.file_name).read_text(encoding="utf-8")
    try:
        return _hub_tokenizer(content, part) if isinstance(part, HubTokenizerPart) else _clip_tokenizer(content, part)
    except ValueError as error:
        raise ConfigurationError(f"{directory / part.file_name} holds no tokenizer: {_HOW_TO_EXPORT}.") from error


def _clip_tokenizer(content: str, part: ClipTokenizerPart) -> ClipTokenizer:
    # Only line feeds end a line: some symbols are letters that Python's splitlines takes for ends.
    pairs = [line.split(" ") for line in content.rstrip("\n").split("\n")]
    merges = [(first, second) for first, second in pairs]
    return ClipTokenizer(merges, context_length=part.context_length, cleaning=part.cleaning)


def _hub_tokenizer(content: str, part: HubTokenizerPart) -> Tokenize | None:
    try:
        module = import_module("triptych_embedder.models.hub_tokenizer")
    except ModuleNotFoundError as error:
        if error.name != "tokenizers":
            raise
        return None
    tokenizer: Tokenize = module.HubTokenizer(content, **part.model_dump(exclude={"kind"}))
    return tokenizer


_HOW_TO_EXPORT: Final = "run `triptych models export NAME/TAG`"


def _check_file(directory: Path, name: str, expected: FilePart) -> None:
    path = directory / name
    if Path(name).name != name:
        raise ConfigurationError(f"{directory / DESCRIPTION_NAME} names the file {name!r} outside of its directory.")
    try:
        is_whole = path.stat().st_size == expected.size_bytes and describe_file(path) == expected
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} is missing: {_HOW_TO_EXPORT}.") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    if not is_whole:
        raise ConfigurationError(f"{path} is damaged, or not of this export (its SHA-256 differs): {_HOW_TO_EXPORT}.")
