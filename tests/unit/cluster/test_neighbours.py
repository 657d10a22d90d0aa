"""The neighbour graph is that of a full distance matrix, whatever the blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych_cluster.neighbours.exact import NeighbourGraph, block_pair_count, block_rows, nearest_neighbours
from triptych_cluster.parameters import Metric


def brute_force(
    rows: np.ndarray, photo_ids: np.ndarray, metric: Metric, neighbour_count: int, ceiling: float
) -> list[list[float]]:
    """Sorted distances of each face to its nearest under the ceiling, in float64."""
    squares = ((rows[:, None].astype(np.float64) - rows[None]) ** 2).sum(-1)
    distances = squares / 2 if metric is Metric.COSINE else np.sqrt(squares)
    distances[photo_ids[:, None] == photo_ids[None]] = np.inf
    return [sorted(row[row <= ceiling].tolist())[:neighbour_count] for row in distances]


def graph_of(
    rows: np.ndarray, photo_ids: np.ndarray, metric: Metric, neighbour_count: int, ceiling: float
) -> NeighbourGraph:
    return nearest_neighbours(
        rows,
        photo_ids,
        metric=metric,
        neighbour_count=neighbour_count,
        ceiling=ceiling,
        on_block=lambda done: None,
    )


@settings(deadline=None, max_examples=40)
@given(
    face_count=st.integers(0, 40),
    photo_count=st.integers(1, 40),
    neighbour_count=st.integers(1, 6),
    metric=st.sampled_from(Metric),
    seed=st.integers(0, 2**32 - 1),
)
def test_small_graphs_equal_brute_force(
    face_count: int, photo_count: int, neighbour_count: int, metric: Metric, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = metric.normalised(random.standard_normal((face_count, 3)).astype(np.float32))
    photo_ids = random.integers(0, photo_count, face_count)
    graph = graph_of(rows, photo_ids, metric, neighbour_count, 0.7)
    expected = brute_force(rows, photo_ids, metric, neighbour_count, 0.7)
    assert np.sum(graph.neighbours >= 0, axis=1).tolist() == [len(row) for row in expected]
    for found, wanted in zip(graph.distances, expected, strict=True):
        np.testing.assert_allclose(found[np.isfinite(found)], wanted, atol=2e-3)


@pytest.mark.parametrize("metric", list(Metric))
def test_several_blocks_equal_brute_force(metric: Metric) -> None:
    random = np.random.default_rng(3)
    rows = metric.normalised(random.standard_normal((900, 6)).astype(np.float32))
    photo_ids = np.arange(900) // 2
    graph = graph_of(rows, photo_ids, metric, 5, 0.6)
    assert block_pair_count(900) > 1
    expected = brute_force(rows, photo_ids, metric, 5, 0.6)
    assert np.sum(graph.neighbours >= 0, axis=1).tolist() == [len(row) for row in expected]
    wanted = np.array([row + [np.inf] * (5 - len(row)) for row in expected])
    np.testing.assert_allclose(graph.distances, wanted, atol=1e-5)
    own = np.arange(900)[:, None]
    present = graph.neighbours >= 0
    assert not ((photo_ids[graph.neighbours] == photo_ids[own]) & present).any()
    offsets = rows[graph.neighbours] - rows[own]
    squares = (offsets.astype(np.float64) ** 2).sum(-1)
    measured = squares / 2 if metric is Metric.COSINE else np.sqrt(squares)
    np.testing.assert_allclose(graph.distances[present], measured[present], atol=1e-5)


def test_a_face_at_the_ceiling_is_a_neighbour_and_one_beyond_is_not() -> None:
    rows = np.array([[0.0], [0.5], [1.125]], np.float32)
    graph = graph_of(rows, np.arange(3), Metric.EUCLIDEAN, 2, 0.5)
    assert graph.neighbours.tolist() == [[1, -1], [0, -1], [-1, -1]]


def test_every_block_pair_is_counted_once_and_in_order() -> None:
    counted: list[int] = []
    rows = np.zeros((700, 2), np.float32)
    nearest_neighbours(
        rows, np.arange(700), metric=Metric.EUCLIDEAN, neighbour_count=3, ceiling=0.5, on_block=counted.append
    )
    assert counted == list(range(block_pair_count(700)))


@pytest.mark.parametrize("face_count", [5_000, 10_000, 100_000, 1_000_000])
def test_large_libraries_have_blocks_enough_to_count_and_small_enough_to_hold(face_count: int) -> None:
    assert block_pair_count(face_count) >= 20
    assert block_rows(face_count) ** 2 * 4 <= 16 * 2**20
