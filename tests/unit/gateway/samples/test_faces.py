"""dlib, as the bundled face model uses it, finds whom the manifest names, where it says, and nobody else."""

import json
from dataclasses import dataclass
from typing import Any

import dlib
import face_recognition_models
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from triptych_gateway.cli.samples.library import MANIFEST_NAME, SampleLibrary

MINIMUM_SCORE = 0.3
# dlib's documented threshold is 0.6; the margin on both sides is what makes the library fit for tests of clustering.
SAME_PERSON_DISTANCE = 0.45
OTHER_PERSON_DISTANCE = 0.5

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Found:
    photo: str
    box: Box
    embedding: npt.NDArray[np.float64]
    person: str | None


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two (left, top, width, height) boxes."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


@pytest.fixture(scope="module")
def photos(small_library: SampleLibrary) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((small_library.directory / MANIFEST_NAME).read_bytes())["photos"]
    return listed


@pytest.fixture(scope="module")
def faces(small_library: SampleLibrary, photos: list[dict[str, Any]]) -> list[Found]:
    detector = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())
    network = dlib.face_recognition_model_v1(face_recognition_models.face_recognition_model_location())
    found = []
    for photo in photos:
        with Image.open(small_library.directory / photo["name"]) as image:
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        height, width = pixels.shape[:2]
        rectangles, _, _ = detector.run(pixels, 1, MINIMUM_SCORE)
        for rectangle in rectangles:
            box = (
                rectangle.left() / width,
                rectangle.top() / height,
                rectangle.width() / width,
                rectangle.height() / height,
            )
            matches = [entry["person"] for entry in photo["people"] if overlap(tuple(entry["box"]), box) > 0.4]
            found.append(
                Found(
                    photo=photo["name"],
                    box=box,
                    embedding=np.array(network.compute_face_descriptor(pixels, landmarks(pixels, rectangle))),
                    person=matches[0] if matches else None,
                )
            )
    return found


def test_everyone_named_is_found_once_and_nobody_else(faces: list[Found], photos: list[dict[str, Any]]) -> None:
    named = sorted((photo["name"], entry["person"]) for photo in photos for entry in photo["people"])

    assert [face for face in faces if face.person is None] == []
    assert sorted((face.photo, str(face.person)) for face in faces) == named


def test_a_persons_faces_are_near_each_other_and_far_from_everyone_elses(faces: list[Found]) -> None:
    for index, one in enumerate(faces):
        for other in faces[:index]:
            distance = float(np.linalg.norm(one.embedding - other.embedding))
            if one.person == other.person:
                assert distance < SAME_PERSON_DISTANCE, (one.photo, other.photo)
            else:
                assert distance > OTHER_PERSON_DISTANCE, (one.photo, other.photo)
