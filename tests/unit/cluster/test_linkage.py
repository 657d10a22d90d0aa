"""The hierarchy that a spanning tree's edges make is that of SciPy's single linkage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform

from triptych_cluster.groups.linkage import single_linkage


def spanning_tree(positions: np.ndarray) -> np.ndarray:
    """Edges (point, point, distance) between points [n, d], nearest first."""
    tree = minimum_spanning_tree(squareform(pdist(positions))).tocoo()
    edges = np.column_stack([tree.row, tree.col, tree.data])
    return edges[np.argsort(edges[:, 2])]


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 40))
def test_it_is_that_of_scipy(seed: int, count: int) -> None:
    positions = np.random.default_rng(seed).standard_normal((count, 3))
    found = single_linkage(spanning_tree(positions), on_edges=lambda: None)
    expected = linkage(positions, "single")
    np.testing.assert_allclose(found[:, 2:], expected[:, 2:])
    np.testing.assert_array_equal(np.sort(found[:, :2], axis=1), np.sort(expected[:, :2], axis=1))


def test_one_point_has_no_hierarchy() -> None:
    assert single_linkage(np.zeros((0, 3)), on_edges=lambda: None).shape == (0, 4)


@pytest.mark.parametrize("others_first", [False, True])
def test_points_that_join_one_cluster_one_after_another_take_no_more_steps_than_they_are(others_first: bool) -> None:
    """As one person's faces do; a path to the cluster that were never shortened would be as long as it is old."""
    count = 300_000
    ends = np.column_stack([np.zeros(count - 1), np.arange(1, count)])
    tree = np.column_stack([ends[:, ::-1] if others_first else ends, np.arange(1, count)])
    reports = 0

    def on_edges() -> None:
        nonlocal reports
        reports += 1

    found = single_linkage(tree, on_edges=on_edges)
    assert found[-1, 3] == count
    assert reports == pytest.approx(count / 2**14, abs=1)


def test_it_stops_when_its_observer_raises() -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        single_linkage(np.array([[0.0, 1, 0.5]]), on_edges=stop)
