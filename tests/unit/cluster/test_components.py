"""Components are found whole, come in batches, and each is grouped as if it were alone."""

import numpy as np
import pytest

from tests.unit.cluster import synthetic_faces
from triptych_cluster.groups.grouping import group_components
from triptych_cluster.neighbours.components import component_batches, component_labels, part_of
from triptych_cluster.neighbours.exact import NeighbourGraph, nearest_neighbours
from triptych_cluster.parameters import parameters_for

ARCFACE = parameters_for("arcface-r50")


@pytest.fixture(scope="module")
def graph() -> NeighbourGraph:
    embeddings, _ = synthetic_faces.generate(2000, 41)
    return nearest_neighbours(
        embeddings,
        np.arange(2000),
        metric=ARCFACE.metric,
        neighbour_count=ARCFACE.neighbour_count,
        ceiling=ARCFACE.ceiling,
        on_block=lambda done: None,
    )


def test_an_edge_that_one_end_knows_of_connects() -> None:
    graph = NeighbourGraph(
        neighbours=np.array([[-1], [0], [-1], [-1]], np.int32), distances=np.full((4, 1), 0.1, np.float32)
    )
    assert component_labels(graph).tolist() == [0, 0, 1, 2]


def test_batches_hold_whole_components_and_leave_small_ones_out() -> None:
    labels = np.array([0, 1, 0, 2, 3, 3, 3, 2, 4])
    batches = component_batches(labels, least_faces=2, batch_faces=3)
    assert [batch.tolist() for batch in batches] == [[0, 2, 3, 7], [4, 5, 6]]
    assert component_batches(labels, least_faces=4) == []
    assert component_batches(np.empty(0, np.int64), least_faces=2) == []


def test_a_part_of_the_graph_has_numbers_of_its_own(graph: NeighbourGraph) -> None:
    batch = component_batches(component_labels(graph), least_faces=3, batch_faces=1)[1]
    part = part_of(graph, batch)
    linked = part.neighbours >= 0
    assert (linked == (graph.neighbours[batch] >= 0)).all()
    assert (batch[part.neighbours[linked]] == graph.neighbours[batch][linked]).all()


@pytest.mark.parametrize("batch_faces", [1, 300])
def test_groups_are_the_same_in_whatever_batches(graph: NeighbourGraph, batch_faces: int) -> None:
    labels, photo_ids = component_labels(graph), np.arange(2000) // 2

    def grouped(size: int) -> tuple[set[tuple[int, ...]], np.ndarray]:
        counted: list[int] = []
        batches = component_batches(labels, least_faces=2, batch_faces=size)
        found = group_components(graph, batches, photo_ids, ARCFACE, on_faces=counted.append)
        assert counted == sorted(counted)
        groups = {tuple(np.flatnonzero(found.labels == label).tolist()) for label in set(found.labels.tolist()) - {-1}}
        return groups, found.probabilities

    (groups, probabilities), (at_once, probabilities_at_once) = grouped(batch_faces), grouped(10_000)
    assert groups == at_once
    np.testing.assert_allclose(probabilities, probabilities_at_once)
