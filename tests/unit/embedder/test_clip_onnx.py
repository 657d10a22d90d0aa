"""The ONNX backend: serves an export without PyTorch, and refuses one that is not whole or not the one asked for."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.support.clip_exports import CONTEXT_LENGTH, DIMENSION, describe, write_export
from triptych_common.errors import ConfigurationError
from triptych_common.models.description import DeviceMemoryError
from triptych_common.models.devices import CPU, Device
from triptych_common.models.onnx_session import OnnxSession, open_session, run_session
from triptych_embedder.models import clip_onnx
from triptych_embedder.models.base import EmbeddingOptions
from triptych_embedder.models.clip_export_format import HubTokenizerPart
from triptych_embedder.models.clip_onnx import OnnxClip
from triptych_embedder.models.clip_weights import default_clip
from triptych_embedder.models.registry import load_model


def _options(models_dir: Path) -> EmbeddingOptions:
    return EmbeddingOptions(device=CPU, threads=2, models_dir=models_dir)


def _photos(count: int) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(3)
    sizes = random.integers(10, 60, (count, 2))
    return [random.integers(0, 256, (height, width, 3), np.uint8) for height, width in sizes]


def test_photos_and_texts_become_unit_vectors_of_the_space_that_was_exported(tmp_path: Path) -> None:
    write_export(tmp_path / "onnx" / "tiny__one")
    model = load_model("onnx:tiny/one", _options(tmp_path))
    assert (model.info.model_id, model.info.dimension, model.info.metric) == ("clip:tiny/one", DIMENSION, "cosine")
    assert (model.info.device, model.info.precision, model.info.has_text_tower) == ("cpu", "fp32", True)
    assert model.info.notice == ""
    for vectors in (model.embed_images(_photos(3)), model.embed_texts(["cat", "dog", ""])):
        assert vectors.shape == (3, DIMENSION) and vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_vectors_do_not_depend_on_their_batch(tmp_path: Path) -> None:
    model = load_model(f"onnx:{write_export(tmp_path / 'mine')}", _options(tmp_path))
    photos, texts = _photos(64), [f"cat {number}" for number in range(64)]
    alone = np.concatenate([model.embed_images([photo]) for photo in photos])
    assert np.abs(model.embed_images(photos) - alone).max() < 1e-6
    alone = np.concatenate([model.embed_texts([text]) for text in texts])
    assert np.abs(model.embed_texts(texts) - alone).max() < 1e-6


@pytest.mark.parametrize(("device", "counts"), [("cpu", [1, 1]), ("cuda:0", [1, 1]), ("tensorrt:0", [1, 1, 64, 64])])
def test_engines_are_built_for_whole_micro_batches_before_the_first_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, counts: list[int]
) -> None:
    """No GPU is needed to see what it would be given: a CPU takes its place."""
    seen: list[int] = []

    def run_and_count(session: Any, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        seen.extend(len(values) for values in inputs.values())
        return run_session(session, inputs, outputs)

    def open_as(network: bytes | Path, *, device: Device, threads: int) -> OnnxSession:
        return replace(open_session(network, device=CPU, threads=threads), device=str(device))

    monkeypatch.setattr(clip_onnx, "run_session", run_and_count)
    monkeypatch.setattr(clip_onnx, "open_session", open_as)
    options = replace(_options(tmp_path), device=Device.parse(device))
    load_model(f"onnx:{write_export(tmp_path / 'mine')}", options)
    assert seen == counts


def test_an_export_without_tokenizer_embeds_photos_and_says_that_texts_cannot_be(tmp_path: Path) -> None:
    model = load_model(f"onnx:{write_export(tmp_path / 'mine', has_text=False)}", _options(tmp_path))
    assert not model.info.has_text_tower and "No search by text" in model.info.notice
    assert model.embed_images(_photos(1)).shape == (1, DIMENSION)
    with pytest.raises(NotImplementedError):
        model.embed_texts(["cat"])


def test_a_tokenizer_that_needs_a_library_is_done_without_it_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.delitem(sys.modules, "triptych_embedder.models.hub_tokenizer", raising=False)
    directory = write_export(tmp_path / "mine")
    (directory / "tokenizer.json").write_text("{}")
    describe(directory)
    part = HubTokenizerPart(context_length=CONTEXT_LENGTH, cleaning="lower", pad_token=1, dropped_token=None)
    _edit(directory / "model.json", tokenizer=part.model_dump(by_alias=True))
    model = load_model(f"onnx:{directory}", _options(tmp_path))
    assert not model.info.has_text_tower and "install the Python package `tokenizers`" in model.info.notice
    assert model.embed_images(_photos(1)).shape == (1, DIMENSION)


def test_the_digest_of_a_checkpoint_stands_for_its_tag(tmp_path: Path) -> None:
    write_export(tmp_path / "onnx" / "tiny__0123456789ab", model_id="clip:tiny@0123456789ab")
    assert load_model("onnx:tiny/0123456789ab", _options(tmp_path)).info.model_id == "clip:tiny@0123456789ab"


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _replace_network(directory: Path) -> None:
    (directory / "image.onnx").write_bytes((directory / "text.onnx").read_bytes())
    describe(directory)


def _no_network(directory: Path) -> None:
    (directory / "image.onnx").write_bytes(b"none")
    describe(directory)


def _odd_merges(directory: Path) -> None:
    (directory / "merges.txt").write_text("c a\nd\n")
    describe(directory)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: _flip(d / "image.onnx"), r"image\.onnx is damaged"),
        (lambda d: _flip(d / "text.onnx"), r"text\.onnx is damaged"),
        (lambda d: (d / "text.onnx").write_bytes((d / "text.onnx").read_bytes()[:-1]), r"text\.onnx is damaged"),
        (lambda d: _flip(d / "merges.txt"), r"merges\.txt is damaged"),
        (lambda d: (d / "text.onnx").unlink(), r"text\.onnx is missing"),
        (lambda d: (d / "model.json").unlink(), "no ONNX export"),
        (lambda d: (d / "model.json").write_text("{"), "cannot be read"),
        (lambda d: _edit(d / "model.json", format=2), "another version"),
        (lambda d: _edit(d / "model.json", dimension=DIMENSION + 1), "not the network that model.json describes"),
        (lambda d: _edit(d / "model.json", files={}), r"names no image\.onnx"),
        (
            lambda d: _edit(d / "model.json", files={"../x": {"sha256": "0" * 64, "sizeBytes": 1}}),
            r"names no image\.onnx",
        ),
        (_replace_network, "not the network that model.json describes"),
        (_no_network, "ONNX Runtime cannot load"),
        (_odd_merges, r"merges\.txt holds no tokenizer"),
    ],
)
def test_an_export_that_is_not_whole_is_refused(tmp_path: Path, damage: Callable[[Path], object], said: str) -> None:
    directory = write_export(tmp_path / "mine")
    damage(directory)
    with pytest.raises(ConfigurationError, match=said):
        load_model(f"onnx:{directory}", _options(tmp_path))


def test_no_file_outside_of_the_export_is_read(tmp_path: Path) -> None:
    directory = write_export(tmp_path / "mine")
    files = json.loads((directory / "model.json").read_text())["files"]
    _edit(directory / "model.json", files={**files, "../secret": files["image.onnx"]})
    with pytest.raises(ConfigurationError, match="outside"):
        load_model(f"onnx:{directory}", _options(tmp_path))


def test_a_missing_export_and_one_of_another_model_say_how_to_export(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no ONNX export .* run `triptych models export NAME/TAG`"):
        load_model("onnx:tiny/one", _options(tmp_path))
    write_export(tmp_path / "onnx" / "tiny__one", model_id="clip:tiny/two")
    with pytest.raises(ConfigurationError, match=r"is of clip:tiny/two: run `triptych models export tiny/one`"):
        load_model("onnx:tiny/one", _options(tmp_path))


@pytest.mark.parametrize("name", ["", "tiny", "../../etc/passwd", "tiny/one/two", "tiny/.."])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="give NAME/TAG"):
        load_model(f"onnx:{name}", _options(tmp_path))


def test_a_precision_or_device_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    name = f"onnx:{write_export(tmp_path / 'mine')}"
    with pytest.raises(ConfigurationError, match=r"TRIPTYCH_PRECISION is fp16, .* fp32 alone"):
        load_model(name, replace(_options(tmp_path), precision="fp16"))
    with pytest.raises(ConfigurationError, match="TRIPTYCH_PRECISION is bf16"):
        load_model("bundled", replace(_options(tmp_path), precision="bf16"))
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ConfigurationError, match="TRIPTYCH_DEVICE is cuda:0"):
            load_model(name, replace(_options(tmp_path), device=Device.parse("cuda")))


def test_production_is_the_export_where_there_is_one(tmp_path: Path) -> None:
    architecture, tag = default_clip().split("/")
    directory = write_export(tmp_path / "onnx" / f"{architecture}__{tag}", model_id=f"clip:{default_clip()}")
    assert isinstance(load_model("production", _options(tmp_path)), OnnxClip)
    _flip(directory / "image.onnx")
    with pytest.raises(ConfigurationError, match="damaged"):
        load_model("production", _options(tmp_path))


def test_production_without_weights_says_how_to_fetch_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="run `triptych models fetch open_clip/ViT-B-32__laion2b_s34b_b79k`"):
        load_model("production", _options(tmp_path))
    with pytest.raises(ConfigurationError, match="onnx:NAME/TAG"):
        load_model("production:other", _options(tmp_path))


def test_without_pytorch_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in ("open_clip_model", "open_clip_towers"):
        monkeypatch.delitem(sys.modules, f"triptych_embedder.models.{module}", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'triptych-embedder\[clip\]'"):
        load_model("open_clip:tiny/one", _options(tmp_path))


def test_memory_that_runs_out_is_told_apart_from_what_else_fails() -> None:
    graph = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["shape"], ["features"])],
        "huge",
        [helper.make_tensor_value_info("shape", TensorProto.INT64, [2])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", "d"])],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    (features,) = run_session(session, {"shape": np.array([2, CONTEXT_LENGTH])}, ["features"])
    assert features.shape == (2, CONTEXT_LENGTH)
    with pytest.raises(DeviceMemoryError):
        run_session(session, {"shape": np.array([2**23, 2**23])}, ["features"])
    with pytest.raises(Exception, match="shape") as caught:
        run_session(session, {"shape": np.array([-2, 1])}, ["features"])
    assert not isinstance(caught.value, DeviceMemoryError)
