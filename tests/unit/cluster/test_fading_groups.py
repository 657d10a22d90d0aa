"""Groups around which lie as many faces in no group as within them are no people."""

import dataclasses

import numpy as np
import pytest

from tests.unit.cluster import synthetic_faces
from triptych_cluster.clustering import Faces, cluster_faces
from triptych_cluster.groups.fading_groups import faces_around, fading_groups
from triptych_cluster.parameters import parameters_for
from triptych_cluster.sums import group_sums

DLIB = parameters_for("dlib-resnet-v1")
ARCFACE = parameters_for("arcface-r50")


def around(labels: list[int], positions: list[float]) -> list[int]:
    """Faces on a line that are around each group."""
    rows = np.array(positions, np.float32)[:, None]
    numbers = np.array(labels)
    found: list[int] = faces_around(
        numbers, rows, *group_sums(numbers, rows), DLIB, on_share=lambda share: None
    ).tolist()
    return found


def test_faces_below_the_ceiling_from_a_group_and_in_none_are_around_it() -> None:
    assert around([0] * 10 + [-1] * 3, [0] * 10 + [0.3, -0.4, 0.6]) == [2]


def test_each_face_is_around_its_nearest_group_only() -> None:
    assert around([0] * 10 + [1] * 10 + [-1] * 2, [0] * 10 + [0.7] * 10 + [0.3, 0.4]) == [1, 1]


def test_small_groups_have_nobody_around_them() -> None:
    assert around([0] * 9 + [1] * 10 + [-1] * 2, [0] * 9 + [0.7] * 10 + [0.1, 0.3]) == [0, 1]


def test_no_faces_in_no_group_are_around_nothing() -> None:
    assert around([0] * 10, [0.0] * 10) == [0]
    assert around([-1, -1], [0.0, 1.0]) == []


def test_a_group_fades_out_where_two_fifths_as_many_faces_are_around_it() -> None:
    assert fading_groups(np.array([3, 4, 5, 9]), np.array([10, 10, 12, 9]), DLIB).tolist() == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("seed", [41, 42])
def test_blurred_faces_of_many_people_are_no_person_and_people_stay(seed: int) -> None:
    embeddings, identity = synthetic_faces.generate(4000, seed)
    faces = Faces(embeddings=embeddings, photo_ids=np.arange(4000), scores=np.ones(4000, np.float32))
    found = cluster_faces(faces, ARCFACE)
    with_them = cluster_faces(faces, dataclasses.replace(ARCFACE, fading_share=1e9))
    assert _largest_group_of_strangers(with_them.labels, identity) > 30
    assert _largest_group_of_strangers(found.labels, identity) < 10
    large = np.flatnonzero(np.bincount(identity) >= 20)
    assert all((found.labels[identity == person] >= 0).mean() > 0.8 for person in large)


def _largest_group_of_strangers(labels: np.ndarray, identity: np.ndarray) -> int:
    """Faces of the largest group whose faces are each of another person."""
    groups = [identity[labels == group] for group in range(labels.max() + 1)]
    return max((len(group) for group in groups if len(np.unique(group)) == len(group)), default=0)
