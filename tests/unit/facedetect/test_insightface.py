"""The insightface backend: what InsightFace itself finds, in batches of our own, on networks made here."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from insightface.app import FaceAnalysis
from insightface.utils.face_align import arcface_dst, norm_crop
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from tests.support.insightface_pack import DetectorShape, photo_with_faces, write_pack, write_recogniser
from triptych_common.models.description import DeviceMemoryError
from triptych_common.models.devices import CPU
from triptych_facedetect.models.base import DetectionOptions, Face, FaceModel
from triptych_facedetect.models.insightface_model import InsightFace
from triptych_facedetect.models.insightface_recognition import FaceRecogniser
from triptych_facedetect.models.registry import load_model

_SHAPES = {
    "a photo at a time": DetectorShape(),
    "any batch": DetectorShape(batch="batch"),
    "batches of three": DetectorShape(batch=3),
    "a photo at a time, of fixed size": DetectorShape(side_pixels=640),
}
Photos = list[NDArray[np.uint8]]


def _options(models_dir: Path, **changes: Any) -> DetectionOptions:
    settings: dict[str, Any] = {"min_score": None, "long_side_pixels": None, "threads": 2} | changes
    return DetectionOptions(device=CPU, models_dir=models_dir, **settings)


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packs")
    return {name: write_pack(folder / name.replace(" ", "-"), detector=shape) for name, shape in _SHAPES.items()}


@pytest.fixture(scope="module", params=_SHAPES)
def model(request: pytest.FixtureRequest, packs: dict[str, Path]) -> Iterator[FaceModel]:
    loaded = load_model(f"insightface:{packs[request.param]}", _options(Path("/nowhere")))
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def one_at_a_time(packs: dict[str, Path]) -> Iterator[FaceModel]:
    loaded = load_model(f"insightface:{packs['a photo at a time']}", _options(Path("/nowhere")))
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def photos() -> Photos:
    """Landscape, portrait, larger and smaller than detection, with 0 to 20 faces, and no whole multiple of anything."""
    sizes = [(720, 960), (960, 720), (480, 640), (1500, 2000), (301, 403), (900, 901), (640, 640)]
    counts = [0, 1, 2, 3, 5, 8, 20, 12, 0, 4, 7]
    made = [
        photo_with_faces(count, height=sizes[n % len(sizes)][0], width=sizes[n % len(sizes)][1], seed=n)
        for n, count in enumerate(counts)
    ]
    return [*made, np.zeros((40, 1200, 3), np.uint8)]


@pytest.fixture(scope="module")
def expected(packs: dict[str, Path], photos: Photos) -> list[list[Any]]:
    """What InsightFace's own application finds."""
    analysis = FaceAnalysis(
        name=str(packs["a photo at a time"]),
        allowed_modules=["detection", "recognition"],
        providers=["CPUExecutionProvider"],
    )
    analysis.prepare(ctx_id=0, det_size=(640, 640))
    with pytest.warns(FutureWarning, match="`estimate` is deprecated"):
        return [analysis.get(np.ascontiguousarray(photo[:, :, ::-1])) for photo in photos]


def _calls_of_recogniser(model: FaceModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of faces in each of its calls, from now on."""
    assert isinstance(model, InsightFace)
    calls: list[int] = []
    run = onnxruntime.InferenceSession.run

    def counting(self: Any, outputs: Any, feeds: dict[str, Any], *more: Any) -> Any:
        (pictures,) = feeds.values()
        if pictures.shape[2:] == (112, 112):
            calls.append(len(pictures))
        return run(self, outputs, feeds, *more)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", counting)
    return calls


def _assert_same(found: Sequence[Sequence[Face]], others: Sequence[Sequence[Face]], *, tolerance: float) -> None:
    assert [len(faces) for faces in found] == [len(faces) for faces in others]
    for one, other in (
        (a, b) for faces, more in zip(found, others, strict=True) for a, b in zip(faces, more, strict=True)
    ):
        assert (one.x, one.y, one.width, one.height, one.score) == pytest.approx(
            (other.x, other.y, other.width, other.height, other.score), abs=tolerance
        )
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=tolerance)
        np.testing.assert_allclose(one.embedding, other.embedding, atol=tolerance)


def test_the_stand_in_finds_each_face_once(expected: list[list[Any]]) -> None:
    assert [len(faces) for faces in expected] == [0, 1, 2, 3, 5, 8, 20, 12, 0, 4, 7, 0]


def test_the_stand_in_tells_faces_apart(expected: list[list[Any]]) -> None:
    vectors = np.array([face.normed_embedding for faces in expected for face in faces])
    cosines = vectors @ vectors.T - np.eye(len(vectors))
    assert cosines.max() < 0.95


def test_boxes_landmarks_scores_and_vectors_are_those_of_insightface(
    model: FaceModel, photos: Photos, expected: list[list[Any]]
) -> None:
    found = model.detect(photos)
    assert [len(faces) for faces in found] == [len(faces) for faces in expected]
    for photo, faces, others in zip(photos, found, expected, strict=True):
        height, width = photo.shape[:2]
        for face, other in zip(faces, others, strict=True):
            box = np.array([face.x, face.y, face.x + face.width, face.y + face.height]) * ([width, height] * 2)
            np.testing.assert_allclose(box, other.bbox, atol=0.01)
            np.testing.assert_allclose(face.landmarks * [width, height], other.kps, atol=0.01)
            assert face.score == pytest.approx(float(other.det_score), abs=1e-5)
            assert float(face.embedding @ other.normed_embedding) >= 0.9999
            np.testing.assert_allclose(face.embedding, other.normed_embedding, atol=1e-4)


def test_vectors_are_float32_of_length_one_and_compared_by_cosine(model: FaceModel, photos: Photos) -> None:
    vectors = [face.embedding for faces in model.detect(photos) for face in faces]
    assert all(vector.dtype == np.float32 and vector.shape == (model.info.dimension,) for vector in vectors)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (model.info.metric, model.info.dimension) == ("cosine", 512)


def test_all_faces_of_a_micro_batch_are_embedded_in_one_call(
    model: FaceModel, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _calls_of_recogniser(model, monkeypatch)
    found = model.detect(photos)
    assert calls == [sum(len(faces) for faces in found)]
    model.detect([photos[0]])
    assert len(calls) == 1, "a micro-batch without a face needs no recogniser"


@pytest.mark.parametrize("shape", _SHAPES)
def test_both_networks_have_run_before_the_first_photo(
    packs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    ran: set[str] = set()
    run = onnxruntime.InferenceSession.run

    def seeing(self: Any, outputs: Any, feeds: dict[str, Any], *more: Any) -> Any:
        (pictures,) = feeds.values()
        ran.add("recogniser" if pictures.shape[2:] == (112, 112) else "detector")
        return run(self, outputs, feeds, *more)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", seeing)
    load_model(f"insightface:{packs[shape]}", _options(Path("/nowhere"))).close()
    assert ran == {"detector", "recogniser"}


def test_neither_order_nor_size_of_the_batch_changes_what_is_found(model: FaceModel, photos: Photos) -> None:
    sixty_four = [photos[n % len(photos)] for n in range(64)]
    together = model.detect(sixty_four)
    alone = [model.detect([photo])[0] for photo in photos]
    _assert_same(together, [alone[n % len(photos)] for n in range(64)], tolerance=1e-4)
    _assert_same(model.detect(sixty_four[::-1])[::-1], together, tolerance=1e-4)


def test_micro_batches_may_be_in_the_model_at_once(one_at_a_time: FaceModel, photos: Photos) -> None:
    whole = one_at_a_time.detect(photos)
    parts = [photos[start : start + 2] for start in range(0, len(photos), 2)] * 4
    with ThreadPoolExecutor(2) as lanes:
        found = [faces for part in lanes.map(one_at_a_time.detect, parts) for faces in part]
    _assert_same(found, whole * 4, tolerance=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1600), (1600, 1), (50, 80)])
def test_pictures_too_small_for_a_face_have_none(one_at_a_time: FaceModel, shape: tuple[int, int]) -> None:
    assert one_at_a_time.detect([np.full((*shape, 3), 90, np.uint8)]) == [[]]


def test_more_faces_than_memory_may_hold_take_several_calls(
    one_at_a_time: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _calls_of_recogniser(one_at_a_time, monkeypatch)
    crowd = [photo_with_faces(20, seed=n) for n in range(8)]
    assert [len(faces) for faces in one_at_a_time.detect(crowd)] == [20] * 8
    assert calls == [128, 32]


def test_the_least_score_and_the_size_of_detection_are_the_models_own_or_as_set(packs: dict[str, Path]) -> None:
    photo = photo_with_faces(6, height=480, width=640)
    name = f"insightface:{packs['a photo at a time']}"
    strict = load_model(name, _options(Path("/nowhere"), min_score=1.0))
    assert strict.detect([photo]) == [[]]
    assert strict.resolution.longest_side_pixels == 1920
    strict.close()
    # 500 is no multiple of the largest stride, so the next one up is taken.
    smaller = load_model(name, _options(Path("/nowhere"), long_side_pixels=500))
    assert smaller.resolution.longest_side_pixels == 1500
    assert 0 < len(smaller.detect([photo])[0]) <= 6
    smaller.close()


def test_a_recogniser_with_a_fixed_batch_axis_gives_the_same(
    tmp_path: Path, one_at_a_time: FaceModel, photos: Photos
) -> None:
    write_pack(tmp_path, recogniser_batch=4)
    fixed = load_model(f"insightface:{tmp_path}", _options(Path("/nowhere")))
    _assert_same(fixed.detect(photos), one_at_a_time.detect(photos), tolerance=1e-4)
    fixed.close()


def test_memory_that_runs_out_is_told_as_such(
    one_at_a_time: FaceModel, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: Any) -> Any:
        raise runtime.RuntimeException("Non-zero status code: BFCArena::AllocateRawInternal Failed to allocate memory")

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", out_of_memory)
    with pytest.raises(DeviceMemoryError):
        one_at_a_time.detect(photos)


def test_another_error_of_the_runtime_is_not_taken_for_memory(
    one_at_a_time: FaceModel, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise runtime.RuntimeException("Non-zero status code returned while running Conv node")

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", broken)
    with pytest.raises(runtime.RuntimeException):
        one_at_a_time.detect(photos)


def test_landmarks_that_are_all_one_point_cannot_be_aligned(packs: dict[str, Path]) -> None:
    recogniser = FaceRecogniser(packs["any batch"] / "w600k_r50.onnx", device=CPU, threads=1)
    photo = photo_with_faces(1)
    assert recogniser.align(photo, np.full((5, 2), 100, np.float32)) is None
    crop = recogniser.align(photo, arcface_dst * 2 + 300)
    assert crop is not None and crop.shape == (112, 112, 3)


@pytest.mark.parametrize("side_pixels", [112, 128, 224, 256])
def test_faces_are_cut_out_as_insightface_does_at_every_size(tmp_path: Path, side_pixels: int) -> None:
    write_recogniser(tmp_path / "recogniser.onnx", side_pixels=side_pixels)
    recogniser = FaceRecogniser(tmp_path / "recogniser.onnx", device=CPU, threads=1)
    photo = photo_with_faces(4)
    landmarks = arcface_dst[:, ::-1] * [1.5, 1.4] + [200, 180]
    with pytest.warns(FutureWarning, match="`estimate` is deprecated"):
        expected = norm_crop(photo, landmarks.astype(np.float32), image_size=side_pixels)
    crop = recogniser.align(photo, landmarks.astype(np.float32))
    assert crop is not None
    np.testing.assert_array_equal(crop, expected)


def test_a_vector_without_direction_is_refused(
    one_at_a_time: FaceModel, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = onnxruntime.InferenceSession.run

    def blank(self: Any, outputs: Any, feeds: Any, *more: Any) -> Any:
        answer = run(self, outputs, feeds, *more)
        return [np.zeros_like(answer[0])] if len(answer) == 1 else answer

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", blank)
    with pytest.raises(ValueError, match="no direction"):
        one_at_a_time.detect(photos[:3])
