"""Six real people, embedded by dlib from versions of one photo, come out as six people."""

import importlib.util
from pathlib import Path
from typing import Any

import dlib
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from triptych_cluster.clustering import Faces, cluster_faces
from triptych_cluster.parameters import parameters_for

PEOPLE = 6


def package_directory(name: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def versions(photo: Image.Image) -> list[Image.Image]:
    """The photo mirrored, darker, brighter, grey and smaller, after itself; people from left to right, or mirrored."""
    return [
        photo,
        ImageOps.mirror(photo),
        ImageEnhance.Brightness(photo).enhance(0.6),
        ImageEnhance.Brightness(photo).enhance(1.4),
        photo.convert("L").convert("RGB"),
        photo.resize((photo.width * 4 // 5, photo.height * 4 // 5)),
    ]


@pytest.fixture(scope="module")
def embedded() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings float32 [n, 128], version and place from the left in the unmirrored photo, both int64 [n]."""
    models = package_directory("face_recognition_models") / "models"
    detector: Any = dlib.get_frontal_face_detector()
    landmarks: Any = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    network: Any = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
    rows, version_of, person_of = [], [], []
    with Image.open(package_directory("insightface") / "data" / "images" / "t1.jpg") as file:
        photo = file.convert("RGB")
    for number, version in enumerate(versions(photo)):
        pixels = np.asarray(version)
        boxes = sorted(detector(pixels, 1), key=lambda box: box.center().x, reverse=number == 1)
        assert len(boxes) == PEOPLE
        for person, box in enumerate(boxes):
            rows.append(np.array(network.compute_face_descriptor(pixels, landmarks(pixels, box)), np.float32))
            version_of.append(number)
            person_of.append(person)
    return np.array(rows), np.array(version_of), np.array(person_of)


@pytest.mark.parametrize("photos_are_known", [True, False])
def test_every_person_is_one_group(embedded: tuple[np.ndarray, np.ndarray, np.ndarray], photos_are_known: bool) -> None:
    embeddings, version_of, person_of = embedded
    faces = Faces(
        embeddings=embeddings,
        photo_ids=version_of if photos_are_known else np.arange(len(embeddings)),
        scores=np.ones(len(embeddings), np.float32),
    )
    found = cluster_faces(faces, parameters_for("dlib-resnet-v1"))
    assert len(found.cohesions) == PEOPLE
    assert (found.labels >= 0).all()
    assert len(set(zip(person_of.tolist(), found.labels.tolist(), strict=True))) == PEOPLE


def test_the_measured_distances_still_hold(embedded: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    embeddings, _, person_of = embedded
    distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)
    one_person = person_of[:, None] == person_of[None]
    parameters = parameters_for("dlib-resnet-v1")
    assert distances[one_person].max() < parameters.ceiling
    assert distances[~one_person].min() > parameters.ceiling + 0.1
