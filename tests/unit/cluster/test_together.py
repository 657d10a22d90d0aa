"""Groups are taken apart where faces of one photo meet, and only there."""

import numpy as np

from triptych_cluster.groups.together import (
    may_be_one_person,
    repeated_in_photos,
    split_where_together,
    weaker_of_each_photo,
)
from triptych_cluster.neighbours.exact import NeighbourGraph, nearest_neighbours
from triptych_cluster.parameters import Metric, parameters_for

DLIB = parameters_for("dlib-resnet-v1")


def graph_of(positions: list[float], photo_ids: list[int]) -> tuple[NeighbourGraph, np.ndarray]:
    rows, photos = np.array(positions, np.float32)[:, None], np.array(photo_ids)
    graph = nearest_neighbours(
        rows, photos, metric=Metric.EUCLIDEAN, neighbour_count=16, ceiling=0.45, on_block=lambda done: None
    )
    return graph, photos


def test_two_people_who_share_their_photos_are_parted() -> None:
    graph, photos = graph_of([0.0, 0.01, 0.02, 0.3, 0.31, 0.32], [1, 2, 3, 1, 2, 3])
    labels = split_where_together(np.zeros(6, np.int64), graph, photos, DLIB)
    assert len(set(labels[:3])) == len(set(labels[3:])) == 1
    assert labels[0] != labels[3]


def test_a_group_without_such_faces_stays_as_it_is() -> None:
    graph, photos = graph_of([0.0, 0.01, 0.4, 0.41], [1, 2, 3, 4])
    labels = np.array([0, 0, 0, -1])
    assert split_where_together(labels, graph, photos, DLIB).tolist() == labels.tolist()


def test_the_odd_face_of_a_pair_in_one_photo_belongs_to_nobody() -> None:
    graph, photos = graph_of([0.0, 0.1, 0.35], [1, 2, 1])
    labels = split_where_together(np.zeros(3, np.int64), graph, photos, DLIB)
    assert labels[0] == labels[1] >= 0
    assert labels[2] == -1


def test_one_mirror_among_many_photos_does_not_part_a_person() -> None:
    many, mirrored = set(range(20)), set(range(19, 29))
    assert may_be_one_person(many, mirrored, DLIB)
    assert may_be_one_person(mirrored, many, DLIB)


def test_people_who_are_often_together_are_not_one() -> None:
    assert not may_be_one_person(set(range(20)), set(range(15, 25)), DLIB)
    assert not may_be_one_person({1}, {1}, DLIB)
    assert may_be_one_person({1}, {2}, DLIB)


def test_faces_whose_photo_is_twice_in_their_group_are_told() -> None:
    labels, photo_ids = np.array([0, 1, 0, 0, -1, -1, 1]), np.array([5, 5, 6, 5, 7, 7, 8])
    assert repeated_in_photos(labels, photo_ids).tolist() == [0, 3]
    assert not len(repeated_in_photos(np.full(3, -1), np.zeros(3, np.int64)))


def test_the_face_nearer_to_the_centroid_stays() -> None:
    labels, photos = np.array([0, 0, 0, 1]), np.array([5, 5, 6, 5])
    closeness = np.array([-0.2, -0.1, 0, 0], np.float32)
    leaving = weaker_of_each_photo(labels, photos, closeness=closeness, scores=np.array([9, 1, 1, 1], np.float32))
    assert leaving.tolist() == [0]


def test_between_equally_near_faces_the_detection_score_decides_and_then_the_order() -> None:
    labels, photos, closeness = np.zeros(4, np.int64), np.array([5, 5, 6, 6]), np.zeros(4, np.float32)
    leaving = weaker_of_each_photo(labels, photos, closeness=closeness, scores=np.array([1, 2, 3, 3], np.float32))
    assert leaving.tolist() == [0, 3]


def test_faces_in_no_group_have_nothing_to_leave() -> None:
    labels, photos = np.full(3, -1), np.zeros(3, np.int64)
    nothing = np.zeros(3, np.float32)
    assert weaker_of_each_photo(labels, photos, closeness=nothing, scores=nothing).tolist() == []
