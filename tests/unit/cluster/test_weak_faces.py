"""Small and hardly detected faces join people, and hold nobody together."""

import dataclasses

import numpy as np

from triptych_cluster.clustering import Faces, cluster_faces
from triptych_cluster.groups.weak_faces import weak_faces, without_bridges
from triptych_cluster.neighbours.exact import NeighbourGraph, nearest_neighbours
from triptych_cluster.parameters import parameters_for

DLIB = dataclasses.replace(parameters_for("dlib-resnet-v1"), weak_below_score=0.5, weak_below_pixels=30.0)


def graph_of(positions: list[float]) -> NeighbourGraph:
    return nearest_neighbours(
        np.array(positions, np.float32)[:, None],
        np.arange(len(positions)),
        metric=DLIB.metric,
        neighbour_count=4,
        ceiling=DLIB.ceiling,
        on_block=lambda done: None,
    )


def edges_of(graph: NeighbourGraph) -> set[tuple[int, int]]:
    rows, slots = np.nonzero(graph.neighbours >= 0)
    ends = graph.neighbours[rows, slots]
    return {(min(pair), max(pair)) for pair in zip(rows.tolist(), ends.tolist(), strict=True)}


def test_low_scores_and_small_boxes_make_a_face_weak_and_unknown_sizes_do_not() -> None:
    scores = np.array([0.4, 0.5, 0.9, 0.9, 0.9], np.float32)
    sizes = np.array([100, 100, 29, 30, 0], np.float32)
    assert weak_faces(scores, sizes, DLIB).tolist() == [True, False, True, False, False]


def test_a_weak_face_between_two_others_joins_the_nearer() -> None:
    graph = without_bridges(graph_of([0.0, 0.3, 0.7]), np.array([False, True, False]))
    assert edges_of(graph) == {(0, 1)}


def test_a_chain_of_weak_faces_is_no_bridge() -> None:
    graph = without_bridges(graph_of([0.0, 0.4, 0.7, 1.1]), np.array([False, True, True, False]))
    assert edges_of(graph) == {(0, 1), (2, 3)}


def test_a_face_that_only_weak_ones_resemble_joins_them() -> None:
    graph = without_bridges(graph_of([0.0, 0.3, 0.6]), np.array([False, True, True]))
    assert edges_of(graph) == {(0, 1), (1, 2)}


def test_a_weak_face_is_tied_where_only_the_other_knows_of_it() -> None:
    graph = NeighbourGraph(
        neighbours=np.array([[1], [2], [1]], np.int32), distances=np.array([[0.3], [0.1], [0.1]], np.float32)
    )
    weak = np.array([False, True, True])
    assert edges_of(without_bridges(graph, weak)) == {(0, 1), (1, 2)}


def test_lists_stay_nearest_first_without_gaps() -> None:
    graph = without_bridges(graph_of([0.0, 0.1, 0.2, 0.3]), np.array([False, True, False, False]))
    assert graph.neighbours[0].tolist() == [2, 3, -1, -1]
    assert graph.distances[0, 2:].tolist() == [np.inf, np.inf]


def test_without_weak_faces_the_graph_is_the_same() -> None:
    graph = graph_of([0.0, 0.1])
    assert without_bridges(graph, np.array([False, False])) is graph


def test_weak_faces_between_two_people_do_not_make_them_one() -> None:
    random = np.random.default_rng(3)
    first, second = random.uniform(0, 0.1, (2, 12, 2)) + np.array([[[0.0, 0]], [[0.9, 0]]])
    between = np.column_stack([np.linspace(0.1, 0.9, 12), np.full(12, 0.05)])
    embeddings = np.concatenate([first, second, between])

    def groups(scores: np.ndarray) -> np.ndarray:
        faces = Faces(embeddings=embeddings, photo_ids=np.arange(36), scores=scores)
        return cluster_faces(faces, DLIB).labels

    trusted, doubted = groups(np.ones(36)), groups(np.repeat([1.0, 0.1], [24, 12]))
    assert trusted[0] == trusted[12] >= 0
    assert doubted[0] != doubted[12]
    near = np.abs(between[:, 0] - 0.475) > 0.25
    assert (doubted[24:][near] >= 0).all(), "those near a person belong to it"
