"""The ONNX backend: an exported CLIP model through ONNX Runtime, without PyTorch and open_clip."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from triptych_common.errors import ConfigurationError
from triptych_common.logging import get_logger
from triptych_common.models.description import DeviceMemoryError, ModelInfo
from triptych_common.models.onnx_session import OnnxSession, open_session, run_session
from triptych_embedder.models.base import EmbeddingModel, EmbeddingOptions
from triptych_embedder.models.clip_export_format import (
    IMAGE_INPUT,
    IMAGE_NAME,
    OUTPUT,
    TEXT_INPUT,
    TEXT_NAME,
    ExportDescription,
    Tokenize,
    read_description,
    read_tokenizer,
)
from triptych_embedder.models.clip_weights import stored_name
from triptych_embedder.models.precision import require_fp32
from triptych_embedder.models.unit_vectors import unit_vectors

log = get_logger(__name__)

NO_TEXT: Final = "No search by text: the export has no tokenizer."
NO_LIBRARY: Final = "No search by text: install the Python package `tokenizers`."

_MICRO_BATCH_CPU: Final = 8
_MICRO_BATCH_GPU: Final = 64


class OnnxClip(EmbeddingModel):
    """Image tower, and text tower where there is one, each to unit vectors of one space."""

    def __init__(
        self,
        description: ExportDescription,
        *,
        image: OnnxSession,
        text: OnnxSession | None,
        tokenizer: Tokenize | None,
        threads: int,
    ) -> None:
        self._preprocessing = description.to_preprocessing()
        self._image = image.session
        self._text = text.session if text is not None else None
        self._tokenizer = tokenizer
        self._threads = threads
        self.resolution = self._preprocessing.resolution
        self.micro_batch = _MICRO_BATCH_CPU if image.device == "cpu" else _MICRO_BATCH_GPU
        self.lanes = 1 if image.device == "cpu" else 2
        self.info = ModelInfo(
            model_id=description.model_id,
            pack="production",
            display_name=f"{description.display_name}, ONNX",
            dimension=description.dimension,
            metric=description.metric,
            device=image.device,
            licence=description.licence,
            notice="" if text is not None else NO_TEXT if description.tokenizer is None else NO_LIBRARY,
            has_text_tower=text is not None,
        )

    @classmethod
    def load(cls, name: str, options: EmbeddingOptions) -> Self:
        """Load an export: ``NAME/TAG`` of the model store, or the path of its directory.

        Raises ConfigurationError where it is missing, damaged or of another model, or device or precision cannot be
        had.
        """
        require_fp32(options.precision, model="an ONNX export")
        directory = export_directory(name, options.models_dir)
        description = read_description(directory)
        # What follows the slash is the digest of a checkpoint that has no tag.
        if not Path(name).is_absolute() and description.model_id not in (f"clip:{name}", f"clip:{_with_digest(name)}"):
            raise ConfigurationError(
                f"The export in {directory} is of {description.model_id}: run `triptych models export {name}`."
            )
        image = _open(directory / IMAGE_NAME, options, description, kind=IMAGE_INPUT)
        part = description.tokenizer
        tokenizer = read_tokenizer(directory, part) if part is not None else None
        text = _open(directory / TEXT_NAME, options, description, kind=TEXT_INPUT) if tokenizer is not None else None
        return cls(description, image=image, text=text, tokenizer=tokenizer, threads=options.threads)

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Unit vectors [n, dimension]. Raises ValueError where the network gives no finite, non-zero features."""
        pictures = self._preprocessing.prepare_all(images, threads=self._threads)
        (features,) = run_session(self._image, {IMAGE_INPUT: pictures}, [OUTPUT])
        return unit_vectors(features)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors [n, dimension]. Raises ValueError where the network gives no finite, non-zero features."""
        if self._text is None or self._tokenizer is None:
            return super().embed_texts(texts)
        (features,) = run_session(self._text, {TEXT_INPUT: self._tokenizer(texts)}, [OUTPUT])
        return unit_vectors(features)

    def warm_up(self) -> None:
        """Run both networks once, and in TensorRT with a whole micro-batch too, or the largest half of it that fits.

        TensorRT builds an engine, for a minute or so, whenever it is given more at once than ever before.
        """
        self._run_both(1)
        while self.info.device.startswith("tensorrt") and self.micro_batch > 1:
            try:
                self._run_both(self.micro_batch)
                break
            except DeviceMemoryError as error:
                log.warning("smaller micro-batches, for want of memory", own=self.micro_batch, error=str(error))
                self.micro_batch //= 2

    def _run_both(self, count: int) -> None:
        self.rehearse(count)
        if self.info.has_text_tower:
            self.embed_texts(["a photo"] * count)


def export_directory(name: str, models_dir: Path) -> Path:
    """Where the export ``NAME/TAG`` is kept; an absolute path is itself. Raises ConfigurationError for another name."""
    return Path(name) if Path(name).is_absolute() else models_dir / "onnx" / stored_name(name)


def _with_digest(name: str) -> str:
    return name.replace("/", "@")


def _open(path: Path, options: EmbeddingOptions, description: ExportDescription, *, kind: str) -> OnnxSession:
    """A network of the export, once its inputs and outputs are those that the description tells of."""
    try:
        opened = open_session(path, device=options.device, threads=options.threads)
    except ConfigurationError:
        raise
    except Exception as error:  # ONNX Runtime has a class of its own for each status
        raise ConfigurationError(f"ONNX Runtime cannot load {path}: {error}") from error
    preprocessing, tokenizer = description.preprocessing, description.tokenizer
    expected = {
        IMAGE_INPUT: ("tensor(float)", [3, preprocessing.height, preprocessing.width]),
        TEXT_INPUT: ("tensor(int64)", [tokenizer.context_length if tokenizer is not None else 0]),
    }[kind]
    inputs = [(one.name, one.type, list(one.shape[1:])) for one in opened.session.get_inputs()]
    outputs: list[tuple[str, Any]] = [(one.name, one.shape[-1]) for one in opened.session.get_outputs()]
    if inputs != [(kind, *expected)] or outputs != [(OUTPUT, description.dimension)]:
        raise ConfigurationError(f"{path} is not the network that model.json describes: export the model again.")
    return opened
