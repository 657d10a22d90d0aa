"""The open_clip backend on open_clip's own networks: the vectors that open_clip itself gives, or a sentence."""

import logging
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.models.hub_tokenizers import write_hub_tokenizer
from tests.models.photos import photo_paths, photos
from tests.models.tiny_clip import (
    TINY_CONFIG,
    TINY_NETWORKS,
    TINY_RESNET,
    known_network,
    write_checkpoint,
    write_local_directory,
)
from triptych_common.errors import ConfigurationError
from triptych_common.media import decode_image
from triptych_common.models.description import DeviceMemoryError
from triptych_common.models.devices import AUTO, CPU, Device
from triptych_common.photos.fitting import fitting_micro_batch
from triptych_embedder.models.base import EmbeddingModel, EmbeddingOptions
from triptych_embedder.models.precision import WantedPrecision
from triptych_embedder.models.registry import load_model

_FP32_AND_BF16: tuple[WantedPrecision, WantedPrecision] = ("fp32", "bf16")
_TEXTS = ["a photo of a cat", "Eine Rakete vor dem Start", "", "coffee " * 100]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_local_directory(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(directory: Path) -> EmbeddingModel:
    return load_model(f"open_clip:local-dir:{directory}", _options(directory))


def _options(models_dir: Path) -> EmbeddingOptions:
    return EmbeddingOptions(device=CPU, threads=1, models_dir=models_dir)


def _cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    cosines: NDArray[np.float32] = (first * second).sum(axis=1)
    return cosines


@pytest.mark.parametrize("network", TINY_NETWORKS)
def test_vectors_are_those_that_open_clip_gives(tmp_path: Path, network: str) -> None:
    directory = write_local_directory(tmp_path / "mine", model=TINY_NETWORKS[network])
    ours = load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))
    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{directory}")
    theirs.eval()
    tokenize = open_clip.get_tokenizer(f"local-dir:{directory}")
    with torch.inference_mode():
        pictures = torch.stack([transform(Image.fromarray(photo)) for photo in photos()])
        of_photos = theirs.encode_image(pictures, normalize=True).numpy()
        of_texts = theirs.encode_text(tokenize(_TEXTS), normalize=True).numpy()
    assert np.abs(ours.embed_images(photos()) - of_photos).max() < 1e-5
    assert np.abs(ours.embed_texts(_TEXTS) - of_texts).max() < 1e-5
    assert (ours.info.dimension, ours.info.metric, ours.info.has_text_tower) == (64, "cosine", True)
    assert (ours.info.device, ours.info.precision) == ("cpu", "fp32")


def test_vectors_are_unit_long_float32_and_do_not_depend_on_their_batch(model: EmbeddingModel) -> None:
    many = (photos() * 16)[:64]
    together = model.embed_images(many)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-6)
    alone = np.concatenate([model.embed_images([photo]) for photo in many])
    assert np.abs(together - alone).max() < 1e-4
    backwards = model.embed_images(many[::-1])[::-1]
    assert np.abs(together - backwards).max() < 1e-4


@pytest.mark.parametrize("network", TINY_NETWORKS)
def test_bf16_gives_nearly_the_same_vectors_as_float32(tmp_path: Path, network: str) -> None:
    directory = write_local_directory(tmp_path / "mine", model=TINY_NETWORKS[network])
    whole, half = (
        load_model(f"open_clip:local-dir:{directory}", replace(_options(tmp_path), precision=precision))
        for precision in _FP32_AND_BF16
    )
    assert half.info.precision == "bf16" and half.info.model_id == whole.info.model_id
    vectors = half.embed_images(photos())
    assert vectors.dtype == np.float32
    assert _cosines(vectors, whole.embed_images(photos())).min() > 0.999
    assert _cosines(half.embed_texts(_TEXTS), whole.embed_texts(_TEXTS)).min() > 0.999


def test_a_network_that_does_not_run_is_refused_at_the_start(tmp_path: Path) -> None:
    """Here its configuration contradicts itself; elsewhere it cannot have the precision."""
    config = {**TINY_NETWORKS["timm"], "vision_cfg": {**TINY_NETWORKS["timm"]["vision_cfg"], "image_size": 64}}
    directory = write_local_directory(tmp_path / "mine", model=config)
    with pytest.raises(ConfigurationError, match=r"does not run in bf16 on cpu .*: set TRIPTYCH_PRECISION=fp32"):
        load_model(f"open_clip:local-dir:{directory}", replace(_options(tmp_path), precision="bf16"))


def test_a_compiled_network_gives_the_same_vectors(directory: Path, model: EmbeddingModel) -> None:
    compiled = load_model(f"open_clip:local-dir:{directory}", replace(_options(directory), compile_model=True))
    for count in (1, 3, 5):
        assert _cosines(compiled.embed_images(photos()[:count]), model.embed_images(photos()[:count])).min() > 0.9999


def test_photos_go_through_convolutions_with_their_channels_last(tmp_path: Path) -> None:
    """What is asked of a network and of its input is of use only if it holds up to its last convolution."""
    directory = write_local_directory(tmp_path / "mine", model=TINY_RESNET)
    network = load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))
    seen: list[tuple[bool, bool]] = []

    def look(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size != (1, 1):
            seen.append(
                (
                    inputs[0].is_contiguous(memory_format=torch.channels_last),
                    module.weight.is_contiguous(memory_format=torch.channels_last),
                )
            )

    handle = torch.nn.modules.module.register_module_forward_pre_hook(look)
    try:
        network.embed_images(photos()[:2])
    finally:
        handle.remove()
    assert len(seen) > 3
    assert set(seen) == {(True, True)}


def test_photos_that_decoding_shrank_have_nearly_the_same_vectors(model: EmbeddingModel) -> None:
    for path in photo_paths():
        shrunk = decode_image(path.read_bytes(), resolution=model.resolution, max_pixels=10**9)
        whole = decode_image(
            path.read_bytes(), resolution=replace(model.resolution, shortest_side_pixels=None), max_pixels=10**9
        )
        assert min(shrunk.pixels.shape[:2]) < min(whole.pixels.shape[:2])
        first, second = model.embed_images([shrunk.pixels, whole.pixels])
        assert first @ second >= 0.999, path.name


def test_weights_of_the_store_are_prepared_for_as_their_training_says(tmp_path: Path) -> None:
    """open_clip does so only where it downloads the weights itself: a file gets its defaults."""
    name = "RN50-quickgelu"
    known = open_clip.get_pretrained_cfg(name, "openai")
    assert known["quick_gelu"]
    folder = tmp_path / "open_clip" / "RN50__openai"
    folder.mkdir(parents=True)
    write_checkpoint(folder / "open_clip_model.safetensors", "RN50")
    ours = load_model("open_clip:RN50/openai", _options(tmp_path))
    assert ours.info.model_id == "clip:RN50/openai" and ours.info.licence == "MIT"
    # The plain name of the network has another activation than these weights were trained with.
    theirs, _, transform = open_clip.create_model_and_transforms(
        name, pretrained=str(folder / "open_clip_model.safetensors")
    )
    theirs.eval()
    with torch.inference_mode():
        expected = theirs.encode_image(transform(Image.fromarray(photos()[0]))[None], normalize=True).numpy()
    assert np.abs(ours.embed_images(photos()[:1]) - expected).max() < 1e-5


def test_a_local_checkpoint_of_a_known_network_is_named_for_its_content(tmp_path: Path) -> None:
    name = known_network(TINY_CONFIG, tmp_path)
    first = write_checkpoint(tmp_path / "first.pt", name, seed=1)
    second = write_checkpoint(tmp_path / "second.pt", name, seed=2)
    ids = [load_model(f"open_clip:{name}@{path}", _options(tmp_path)).info.model_id for path in (first, second)]
    assert all(one.startswith(f"clip:{name}@") and len(one.partition("@")[2]) == 12 for one in ids)
    assert ids[0] != ids[1]


class _Evil:
    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._marker),)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)


@pytest.mark.parametrize("file_name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
@pytest.mark.parametrize("damage", [_cut, _empty, _garbage])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, file_name: str, damage: Callable[[Path], None]) -> None:
    directory = write_local_directory(tmp_path / "mine", file_name=file_name)
    damage(directory / file_name)
    with pytest.raises(ConfigurationError, match="damaged, or not of this network"):
        load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    directory = write_local_directory(tmp_path / "mine")
    deeper = {**TINY_CONFIG, "vision_cfg": {**TINY_CONFIG["vision_cfg"], "layers": 3}}
    other = write_local_directory(tmp_path / "other", model=deeper)
    (directory / "open_clip_config.json").write_bytes((other / "open_clip_config.json").read_bytes())
    with pytest.raises(ConfigurationError, match="not of this network"):
        load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))


def test_a_checkpoint_that_runs_code_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    directory = write_local_directory(tmp_path / "mine", file_name="open_clip_pytorch_model.bin")
    marker = tmp_path / "ran"
    (directory / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps({"weight": _Evil(marker)}))
    with pytest.raises(ConfigurationError, match="damaged"):
        load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))
    torch.save({"weight": _Evil(marker)}, directory / "open_clip_pytorch_model.bin")
    with pytest.raises(ConfigurationError, match="damaged"):
        load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))
    assert not marker.exists()


def test_a_network_or_training_that_open_clip_does_not_know_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "open_clip" / "RN50__nobody" / "open_clip_model.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"knows no 'nobody' of RN50, only openai, yfcc15m, cc12m"):
        load_model("open_clip:RN50/nobody", _options(tmp_path))
    with pytest.raises(ConfigurationError, match="knows no network 'RN51'"):
        load_model(f"open_clip:RN51@{path}", _options(tmp_path))
    (tmp_path / "open_clip_config.json").write_text("[]")
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="is no configuration of open_clip"):
        load_model(f"open_clip:local-dir:{tmp_path}", _options(tmp_path))


def test_a_text_tower_that_is_built_from_a_hub_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="cannot run: its text tower"):
        load_model(f"open_clip:roberta-ViT-B-32@{path}", _options(tmp_path))


def test_random_weights_cannot_be_had(tmp_path: Path) -> None:
    for name in ("RN50", "RN50/", "local-dir:", f"local-dir:{tmp_path}"):
        with pytest.raises(ConfigurationError):
            load_model(f"open_clip:{name}", _options(tmp_path))


def test_what_cannot_be_downloaded_is_not_asked_for(directory: Path, model: EmbeddingModel) -> None:
    assert model.info.has_text_tower and os.environ["HF_HUB_OFFLINE"] == "1"


def _with_hub_tokenizer(**options: object) -> dict[str, Any]:
    text = {**TINY_CONFIG["text_cfg"], "hf_tokenizer_name": "somebody/something", "tokenizer_kwargs": options}
    return {**TINY_CONFIG, "text_cfg": {**text, "context_length": 16, "pool_type": "last"}}


@pytest.mark.parametrize("options", [{}, {"clean": "canonicalize"}, {"strip_sep_token": True}])
def test_a_tokenizer_from_elsewhere_is_read_from_beside_the_weights(tmp_path: Path, options: dict[str, object]) -> None:
    directory = write_local_directory(tmp_path / "mine", model=_with_hub_tokenizer(**options))
    write_hub_tokenizer(directory)
    ours = load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))
    theirs = open_clip.create_model(f"local-dir:{directory}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{directory}")(_TEXTS)
    with torch.inference_mode():
        expected = theirs.encode_text(tokens, normalize=True).numpy()
    assert ours.info.has_text_tower and ours.info.notice == ""
    assert np.abs(ours.embed_texts(_TEXTS) - expected).max() < 1e-5
    (directory / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"The tokenizer in .* cannot be read"):
        load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))


def test_without_its_tokenizer_a_network_embeds_photos_and_says_that_texts_cannot_be(tmp_path: Path) -> None:
    directory = write_local_directory(tmp_path / "mine", model=_with_hub_tokenizer())
    model = load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))
    assert not model.info.has_text_tower and "No search by text" in model.info.notice
    assert model.embed_images(photos()[:1]).shape == (1, 64)


def test_weights_that_are_no_numbers_are_refused_at_the_start(tmp_path: Path) -> None:
    directory = write_local_directory(tmp_path / "mine", file_name="open_clip_pytorch_model.bin")
    path = directory / "open_clip_pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    state["visual.proj"] = torch.full_like(state["visual.proj"], float("nan"))
    torch.save(state, path)
    with pytest.raises(ConfigurationError, match="gives no usable vectors in fp32"):
        load_model(f"open_clip:local-dir:{directory}", _options(tmp_path))


def test_a_device_that_is_not_there_is_refused(directory: Path) -> None:
    name = f"open_clip:local-dir:{directory}"
    absent = Device(kind="cuda", index=torch.cuda.device_count())
    with pytest.raises(ConfigurationError, match=f"TRIPTYCH_DEVICE is {absent}, but PyTorch finds"):
        load_model(name, replace(_options(directory), device=absent))
    with pytest.raises(ConfigurationError, match=r"TRIPTYCH_DEVICE is tensorrt:0, .*triptych models export"):
        load_model(name, replace(_options(directory), device=Device.parse("tensorrt")))
    with pytest.raises(ConfigurationError, match="TRIPTYCH_PRECISION is fp16, which a CPU"):
        load_model(name, replace(_options(directory), precision="fp16"))
    expected = "cuda:0" if torch.cuda.is_available() else "cpu"
    assert load_model(name, replace(_options(directory), device=AUTO)).info.device == expected


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_runs_out_is_told_so_that_fewer_are_tried(
    model: EmbeddingModel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(model, "_encode_image", fail)
    with pytest.raises(DeviceMemoryError):
        model.embed_images(photos()[:1])
    monkeypatch.undo()
    assert model.embed_images(photos()[:1]).shape == (1, 64)


def test_a_model_that_was_let_go_can_be_loaded_again(directory: Path, model: EmbeddingModel) -> None:
    name = f"open_clip:local-dir:{directory}"
    first: Any = load_model(name, _options(directory))
    first.close()
    again = load_model(name, _options(directory))
    assert np.abs(again.embed_images(photos()) - model.embed_images(photos())).max() < 1e-6


def test_loading_says_nothing_of_its_own_steps(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load_model(f"open_clip:local-dir:{directory}", _options(directory))
    assert [record.getMessage() for record in caplog.records if record.name == "root"] == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: fp16, bf16 and memory of GPUs untested")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_gpu_gives_nearly_the_same_vectors_as_the_cpu(
    directory: Path, model: EmbeddingModel, precision: WantedPrecision
) -> None:
    options = replace(_options(directory), device=Device.parse("cuda"), precision=precision)
    on_gpu = load_model(f"open_clip:local-dir:{directory}", options)
    assert (on_gpu.info.device, on_gpu.info.precision) == ("cuda:0", precision)
    least = 0.9999 if precision == "fp32" else 0.999
    assert _cosines(on_gpu.embed_images(photos()), model.embed_images(photos())).min() > least
    assert _cosines(on_gpu.embed_texts(_TEXTS), model.embed_texts(_TEXTS)).min() > least
    many = photos() * 8
    alone = np.concatenate([on_gpu.embed_images([photo]) for photo in many])
    assert _cosines(on_gpu.embed_images(many), alone).min() > least


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: its running out of memory is untested")
def test_a_gpu_that_is_full_is_told_so_and_goes_on(directory: Path) -> None:
    on_gpu = load_model(f"open_clip:local-dir:{directory}", replace(_options(directory), device=Device.parse("cuda")))
    torch.cuda.set_per_process_memory_fraction(0.0001)
    try:
        with pytest.raises(DeviceMemoryError):
            on_gpu.embed_images(photos() * 2000)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert on_gpu.embed_images(photos()[:1]).shape == (1, 64)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: its free memory cannot be looked at")
def test_a_micro_batch_is_chosen_by_the_memory_that_a_gpu_has_free(directory: Path) -> None:
    on_gpu = load_model(f"open_clip:local-dir:{directory}", replace(_options(directory), device=Device.parse("cuda")))
    memory = on_gpu.accelerator_memory()
    free = memory.free_bytes()
    assert 0 < memory.least_free_bytes(lambda: on_gpu.rehearse(64)) <= free
    assert fitting_micro_batch(on_gpu, memory) == on_gpu.micro_batch
