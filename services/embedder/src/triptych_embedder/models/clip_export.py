"""An open_clip model as an ONNX export: both networks, checked against PyTorch, beside what is needed to feed them."""

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from triptych_common.errors import ConfigurationError
from triptych_common.models.devices import CPU
from triptych_common.models.onnx_session import open_session, run_session
from triptych_embedder.models.clip_export_format import (
    HUB_TOKENIZER_NAME,
    IMAGE_INPUT,
    IMAGE_NAME,
    OUTPUT,
    TEXT_INPUT,
    TEXT_NAME,
    ClipTokenizerPart,
    ExportDescription,
    HubTokenizerPart,
    PreprocessingPart,
    TokenizerPart,
    describe_file,
    read_tokenizer,
    write_description,
    write_merges,
)
from triptych_embedder.models.clip_weights import ClipWeights
from triptych_embedder.models.open_clip_towers import ClipTowers, load_towers
from triptych_embedder.models.unit_vectors import unit_vectors

OPSET: Final = 17
LEAST_COSINE: Final = 0.9999
"""An export whose vectors are further from PyTorch's than this is refused: they would not be of one space."""

_LARGEST_FILE_BYTES: Final = 1_900_000_000
"""Protocol buffers end at 2 GiB; the weights of a larger network are kept in a file beside it."""
_BATCHES: Final = (1, 2, 5)
"""Sizes at which networks are compared; the first is that which is traced."""
_SENTENCES: Final = (
    "a photo of a dog",
    "Zwei Kinder bauen eine Sandburg — am Meer, 1987",
    "",
    "the quick brown fox jumps over the lazy dog " * 20,
    "&amp; it's 3 o'clock: 猫が窓辺で眠っている 😀",
)

Report = Callable[[str], None]
"""Told of each step, in words."""


@dataclass(frozen=True, kw_only=True)
class _Tower:
    """One network to export, and what it is compared on."""

    file_name: str
    input_name: str
    model: Any
    method: str
    """Of the model: inputs and whether to normalise → features."""
    inputs: NDArray[Any]
    """As many as the batches take together, at least."""

    def encode(self, inputs: Any) -> Any:
        """Features of inputs, of any length."""
        return getattr(self.model, self.method)(inputs, False)


def export_clip(weights: ClipWeights, target: Path, *, photos: Sequence[Path], report: Report) -> ExportDescription:
    """Write an export of weights to the directory ``target``, whole or not at all; what was there is replaced.

    ``photos`` are compared on besides noise and drawn pictures. Raises ConfigurationError where weights are missing or
    damaged, or the networks give other vectors than PyTorch does.
    """
    report(f"loading {weights.checkpoint.name}")
    towers = load_towers(weights, device="cpu", precision="fp32")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        aside = Path(scratch) / "export"
        aside.mkdir()
        cosines = {IMAGE_NAME: _export_tower(_image_tower(towers, photos), aside, towers.dimension, report)}
        tokenizer = _write_tokenizer(towers, aside)
        if tokenizer is None:
            report("no text tower: its tokenizer is not beside the weights, or of a kind that cannot be exported")
        else:
            cosines[TEXT_NAME] = _export_tower(_text_tower(towers), aside, towers.dimension, report)
        description = _describe(weights, towers, tokenizer, aside, cosines)
        write_description(aside, description)
        if target.exists():
            target.rename(Path(scratch) / "former")
        aside.rename(target)
    return description


def _export_tower(tower: _Tower, directory: Path, dimension: int, report: Report) -> float:
    """Write a network, and compare it with PyTorch; the least cosine. Raises ConfigurationError below LEAST_COSINE."""
    report(f"exporting {tower.file_name}")
    path = directory / tower.file_name
    _write_network(tower, path)
    report(f"comparing {tower.file_name} with PyTorch")
    session = open_session(path, device=CPU, threads=torch.get_num_threads()).session
    least = 1.0
    begin = 0
    for size in _BATCHES:
        inputs = tower.inputs[begin : begin + size]
        begin += size
        (features,) = run_session(session, {tower.input_name: inputs}, [OUTPUT])
        exported = unit_vectors(features)
        with torch.inference_mode():
            expected = unit_vectors(tower.encode(torch.from_numpy(inputs)).float().numpy())
        if exported.shape != (len(inputs), dimension):
            raise ConfigurationError(f"{tower.file_name} gives vectors of shape {exported.shape}: nothing was written.")
        least = min(least, float((exported * expected).sum(axis=1).min()))
    if not least >= LEAST_COSINE:
        raise ConfigurationError(
            f"{tower.file_name} gives other vectors than PyTorch (cosine {least:.6f}, not {LEAST_COSINE} or more):"
            " nothing was written."
        )
    return least


def _write_network(tower: _Tower, path: Path) -> None:
    """Trace a tower and write it as ONNX, its weights beside it where they are too large for one file."""
    # The fused attention of inference has no ONNX form; the plain one computes the same.
    torch.backends.mha.set_fastpath_enabled(False)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, torch.no_grad(), warnings.catch_warnings():
        # The exporter by tracing is the one that these networks are known to pass; PyTorch prefers its newer one.
        warnings.simplefilter("ignore")
        traced = Path(scratch) / path.name
        torch.onnx.export(
            _as_module(tower),
            (torch.from_numpy(tower.inputs[: _BATCHES[0]]),),
            str(traced),
            input_names=[tower.input_name],
            output_names=[OUTPUT],
            dynamic_axes={tower.input_name: {0: "n"}, OUTPUT: {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
        pack_network(traced, path, largest_file_bytes=_LARGEST_FILE_BYTES)


def pack_network(source: Path, target: Path, *, largest_file_bytes: int) -> None:
    """Move a network to its place; one of more bytes gets its weights into one file beside it, NAME.data."""
    if sum(path.stat().st_size for path in source.parent.iterdir()) <= largest_file_bytes:
        source.rename(target)
        return
    network = onnx.load(str(source))
    onnx.save_model(
        network,
        str(target),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{target.name}.data",
        size_threshold=1024,
    )


def _as_module(tower: _Tower) -> Any:
    """A tower as the module that the exporter wants, with the model as its part: its weights then keep their names."""

    def forward(module: Any, inputs: Any) -> Any:
        return getattr(module.model, tower.method)(inputs, False)

    module = type("Tower", (torch.nn.Module,), {"forward": forward})()
    module.model = tower.model
    return module.eval()


def _image_tower(towers: ClipTowers, photos: Sequence[Path]) -> _Tower:
    preprocessing = towers.preprocessing
    shape = (sum(_BATCHES) // 2, 3, preprocessing.height, preprocessing.width)
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    pictures = [*_read_photos(photos), *_drawn_pictures(sum(_BATCHES) - len(noise))]
    prepared = preprocessing.prepare_all(pictures, threads=torch.get_num_threads())[: sum(_BATCHES) - len(noise)]
    return _Tower(
        file_name=IMAGE_NAME,
        input_name=IMAGE_INPUT,
        model=towers.model,
        method="encode_image",
        inputs=np.concatenate([prepared, noise]),
    )


def _text_tower(towers: ClipTowers) -> _Tower:
    words = " ".join(_SENTENCES).split()
    random = np.random.default_rng(0)
    mixed = [" ".join(random.choice(words, size=12)) for _ in range(sum(_BATCHES) - len(_SENTENCES))]
    return _Tower(
        file_name=TEXT_NAME,
        input_name=TEXT_INPUT,
        model=towers.model,
        method="encode_text",
        inputs=towers.tokenize([*_SENTENCES, *mixed]).numpy(),
    )


def _write_tokenizer(towers: ClipTowers, directory: Path) -> TokenizerPart | None:
    """Write what makes tokens without PyTorch; None where open_clip's tokenizer is of another kind.

    Raises ConfigurationError where the tokens are not open_clip's.
    """
    tokenize = towers.tokenize
    part: TokenizerPart
    values = {"context_length": getattr(tokenize, "context_length", None), "cleaning": towers.cleaning}
    if isinstance(tokenize, open_clip.tokenizer.SimpleTokenizer):
        write_merges(directory, tokenize.bpe_ranks)
        part = ClipTokenizerPart.model_validate(values)
    elif hasattr(getattr(tokenize, "tokenizer", None), "backend_tokenizer") and not tokenize.tokenizer_mode:
        (directory / HUB_TOKENIZER_NAME).write_text(tokenize.tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        dropped = tokenize.tokenizer.sep_token_id if tokenize.strip_sep_token else None
        values |= {"pad_token": tokenize.tokenizer.pad_token_id, "dropped_token": dropped}
        part = HubTokenizerPart.model_validate(values)
    else:
        return None
    ours = read_tokenizer(directory, part)
    if ours is None or not np.array_equal(ours(_SENTENCES), tokenize(list(_SENTENCES)).numpy()):
        raise ConfigurationError(
            "The network's tokenizer has a way of its own, which an export cannot have: nothing was written."
        )
    return part


def _describe(
    weights: ClipWeights,
    towers: ClipTowers,
    tokenizer: TokenizerPart | None,
    directory: Path,
    cosines: Mapping[str, float],
) -> ExportDescription:
    return ExportDescription(
        model_id=weights.model_id,
        display_name=weights.display_name,
        licence=weights.licence,
        dimension=towers.dimension,
        preprocessing=PreprocessingPart(**asdict(towers.preprocessing)),
        tokenizer=tokenizer,
        files={path.name: describe_file(path) for path in sorted(directory.iterdir())},
        checked_cosine={name: round(value, 7) for name, value in cosines.items()},
        made_with={
            "torch": torch.__version__,
            "open_clip": metadata.version("open_clip_torch"),
            "opset": str(OPSET),
            "checkpoint": describe_file(weights.checkpoint).sha256,
        },
    )


def _read_photos(paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    photos = []
    for path in paths:
        try:
            with Image.open(path) as image:
                photos.append(np.asarray(image.convert("RGB")))
        except OSError as error:
            raise ConfigurationError(f"The photo {path} cannot be read: {error}.") from error
    return photos


def _drawn_pictures(count: int) -> list[NDArray[np.uint8]]:
    """Pictures with areas and edges, as photos have and noise has not, each the same at every call."""
    random = np.random.default_rng(1)
    pictures = []
    for _ in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8))
        picture = coarse.resize((640, 480), Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(picture)
        for _ in range(6):
            left, top = (int(value) for value in random.integers(0, (500, 360)))
            width, height = (int(value) for value in random.integers(20, 140, 2))
            colour = tuple(int(value) for value in random.integers(0, 256, 3))
            draw.ellipse((left, top, left + width, top + height), fill=colour)
        pictures.append(np.asarray(picture))
    return pictures
