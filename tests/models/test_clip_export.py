"""Exports: the same space as PyTorch's, written whole or not at all, and served without PyTorch."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.hub_tokenizers import write_hub_tokenizer
from tests.models.photos import photo_paths, photos
from tests.models.tiny_clip import TINY_CONFIG, TINY_NETWORKS, known_network, write_checkpoint, write_local_directory
from triptych_common.errors import ConfigurationError
from triptych_common.models.devices import CPU
from triptych_common.models.onnx_session import open_session
from triptych_embedder.models import clip_export
from triptych_embedder.models.base import EmbeddingModel, EmbeddingOptions
from triptych_embedder.models.clip_export import export_clip, pack_network
from triptych_embedder.models.clip_export_format import read_description
from triptych_embedder.models.clip_weights import find_weights
from triptych_embedder.models.open_clip_towers import load_towers
from triptych_embedder.models.registry import load_model

_COMMAND = [str(Path(sys.executable).with_name("triptych-embedder-models"))]
_TEXTS = ["a photo of a cat", "Eine Rakete — vor dem Start", "", "coffee " * 100, "猫 😀"]


def _options(models_dir: Path) -> EmbeddingOptions:
    return EmbeddingOptions(device=CPU, threads=1, models_dir=models_dir)


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*_COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def _least_cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float((first * second).sum(axis=1).min())


def _assert_one_space(exported: EmbeddingModel, original: EmbeddingModel) -> None:
    assert exported.info.model_id == original.info.model_id
    assert exported.resolution == original.resolution
    assert _least_cosine(exported.embed_images(photos()), original.embed_images(photos())) >= 0.9999
    assert _least_cosine(exported.embed_texts(_TEXTS), original.embed_texts(_TEXTS)) >= 0.9999
    many = photos() * 4
    alone = np.concatenate([exported.embed_images([photo]) for photo in many])
    assert np.abs(exported.embed_images(many) - alone).max() < 1e-4


_SQUASHED = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"}


@pytest.mark.parametrize(
    ("network", "preprocessing"), [*((name, {}) for name in TINY_NETWORKS), ("transformer", _SQUASHED)]
)
def test_an_export_is_of_the_space_of_its_weights(
    tmp_path: Path, network: str, preprocessing: dict[str, object]
) -> None:
    directory = write_local_directory(tmp_path / "mine", model=TINY_NETWORKS[network], preprocessing=preprocessing)
    weights = find_weights(f"local-dir:{directory}", tmp_path)
    steps: list[str] = []
    description = export_clip(weights, tmp_path / "out", photos=photo_paths(), report=steps.append)
    assert min(description.checked_cosine.values()) >= 0.9999
    assert len(steps) == 5 and "comparing text.onnx with PyTorch" in steps
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*description.files, "model.json"}
    original = load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))
    _assert_one_space(load_model(f"onnx:{tmp_path / 'out'}", _options(tmp_path)), original)


def test_the_command_exports_once_and_says_how_to_serve_it(tmp_path: Path) -> None:
    directory = write_local_directory(tmp_path / "mine")
    arguments = ["export", "--model", f"local-dir:{directory}", "--models-dir", str(tmp_path)]
    first = _run(*arguments, "--photo", str(photo_paths()[0]))
    assert first.returncode == 0, first.stderr
    (target,) = (tmp_path / "onnx").iterdir()
    name = target.name.replace("__", "/")
    assert f"TRIPTYCH_MODEL=onnx:{name}" in first.stdout and "cosine to PyTorch: image.onnx 1.0" in first.stdout
    original = load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))
    _assert_one_space(load_model(f"onnx:{name}", _options(tmp_path)), original)
    again = _run(*arguments)
    assert again.returncode == 0 and "exported already" in again.stdout
    (target / "image.onnx").write_bytes(b"damaged")
    assert _run(*arguments).returncode == 0
    read_description(target)
    assert _names(tmp_path / "onnx") == [target.name]


def test_a_command_that_is_ended_leaves_nothing(tmp_path: Path) -> None:
    # Deep enough that it is not done before it is told to end.
    deep = {**TINY_CONFIG, "vision_cfg": {**TINY_CONFIG["vision_cfg"], "layers": 24}}
    directory = write_local_directory(tmp_path / "mine", model=deep)
    command = [*_COMMAND, "export", "--model", f"local-dir:{directory}", "--models-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("exporting image.onnx" in line for line in process.stdout)
        process.terminate()
        process.stdout.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert _names(tmp_path / "onnx") == []


def test_the_command_says_in_one_sentence_what_is_missing(tmp_path: Path) -> None:
    missing = _run("export", "--model", "ViT-B-32/laion2b_s34b_b79k", "--models-dir", str(tmp_path))
    assert missing.returncode == 78
    assert missing.stderr.count("\n") == 1 and "run `triptych models fetch open_clip/" in missing.stderr
    nowhere = _run("export", "--model", "RN50", "--models-dir", str(tmp_path), "--checkpoint", "/nowhere/at/all.pt")
    assert nowhere.returncode == 78 and "There is no checkpoint /nowhere/at/all.pt" in nowhere.stderr


def test_an_export_that_differs_is_refused_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = find_weights(f"local-dir:{write_local_directory(tmp_path / 'mine')}", tmp_path)
    target = tmp_path / "onnx" / "out"
    export_clip(weights, target, photos=[], report=lambda _: None)
    before = (target / "model.json").read_bytes()
    other = find_weights(f"local-dir:{write_local_directory(tmp_path / 'other', seed=1)}", tmp_path)
    other_model = load_towers(other, device="cpu", precision="fp32").model
    true_network = clip_export._write_network

    def write_another(tower: clip_export._Tower, path: Path) -> None:
        true_network(replace(tower, model=other_model), path)

    monkeypatch.setattr(clip_export, "_write_network", write_another)
    with pytest.raises(ConfigurationError, match=r"image\.onnx gives other vectors than PyTorch"):
        export_clip(weights, target, photos=[], report=lambda _: None)
    assert (target / "model.json").read_bytes() == before
    assert _names(target.parent) == ["out"]


def _with_hub_tokenizer(**options: object) -> dict[str, Any]:
    text = {**TINY_CONFIG["text_cfg"], "hf_tokenizer_name": "somebody/something", **options}
    return {**TINY_CONFIG, "text_cfg": {**text, "context_length": 16, "pool_type": "last"}}


@pytest.mark.parametrize("tokenizer", [{}, {"clean": "canonicalize"}, {"strip_sep_token": True}])
def test_a_tokenizer_from_elsewhere_is_exported_too(tmp_path: Path, tokenizer: dict[str, object]) -> None:
    directory = write_local_directory(tmp_path / "mine", model=_with_hub_tokenizer(tokenizer_kwargs=tokenizer))
    write_hub_tokenizer(directory)
    weights = find_weights(f"local-dir:{directory}", tmp_path)
    description = export_clip(weights, tmp_path / "out", photos=[], report=lambda _: None)
    assert "tokenizer.json" in description.files and "merges.txt" not in description.files
    original = load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))
    _assert_one_space(load_model(f"onnx:{tmp_path / 'out'}", _options(tmp_path)), original)


@pytest.mark.parametrize("mode", [None, "clips"])
def test_a_network_whose_tokenizer_cannot_be_exported_is_exported_for_photos(tmp_path: Path, mode: str | None) -> None:
    directory = write_local_directory(tmp_path / "mine", model=_with_hub_tokenizer(tokenizer_mode=mode))
    if mode is not None:
        write_hub_tokenizer(directory)
    steps: list[str] = []
    weights = find_weights(f"local-dir:{directory}", tmp_path)
    description = export_clip(weights, tmp_path / "out", photos=[], report=steps.append)
    assert description.tokenizer is None and list(description.files) == ["image.onnx"]
    assert any(step.startswith("no text tower") for step in steps)
    model = load_model(f"onnx:{tmp_path / 'out'}", _options(tmp_path))
    assert not model.info.has_text_tower and model.embed_images(photos()[:1]).shape == (1, 64)


def test_weights_too_large_for_one_file_are_kept_beside_the_network(tmp_path: Path) -> None:
    weights = find_weights(f"local-dir:{write_local_directory(tmp_path / 'mine')}", tmp_path)
    export_clip(weights, tmp_path / "out", photos=[], report=lambda _: None)
    source, target = tmp_path / "scratch" / "image.onnx", tmp_path / "packed" / "image.onnx"
    source.parent.mkdir()
    target.parent.mkdir()
    source.write_bytes((tmp_path / "out" / "image.onnx").read_bytes())
    pack_network(source, target, largest_file_bytes=10_000)
    assert _names(target.parent) == ["image.onnx", "image.onnx.data"]
    assert target.stat().st_size < source.stat().st_size / 2
    pictures = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    first, second = (
        open_session(path, device=CPU, threads=1).session.run(["features"], {"pictures": pictures})[0]
        for path in (tmp_path / "out" / "image.onnx", target)
    )
    assert np.array_equal(first, second)


def test_a_checkpoint_outside_of_the_store_is_exported_under_its_digest(tmp_path: Path) -> None:
    """As ``--model NAME --checkpoint PATH`` does."""
    name = known_network(TINY_CONFIG, tmp_path)
    weights = find_weights(f"{name}@{write_checkpoint(tmp_path / 'epoch_3.pt', name)}", tmp_path)
    export_clip(weights, tmp_path / "onnx" / weights.stored_as, photos=[], report=lambda _: None)
    digest = weights.model_id.partition("@")[2]
    assert load_model(f"onnx:{name}/{digest}", _options(tmp_path)).info.model_id == f"clip:{name}@{digest}"
    assert json.loads((tmp_path / "onnx" / weights.stored_as / "model.json").read_text())["modelId"] == weights.model_id
