"""Groups of faces by density: HDBSCAN's condensed tree and excess of mass over the forest of a neighbour graph.

R. Campello, D. Moulavi, J. Sander: Density-Based Clustering Based on Hierarchical Density Estimates (2013). Condensing
the tree and selecting from it are functions of the `hdbscan` package; the spanning tree, from a graph that has been cut
at a ceiling, and its hierarchy are made here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hdbscan._hdbscan_tree import compute_stability, condense_tree, get_clusters
from numpy.typing import NDArray
from scipy.sparse.csgraph import minimum_spanning_tree

from triptych_cluster.groups.linkage import single_linkage
from triptych_cluster.neighbours.components import component_labels, edges
from triptych_cluster.neighbours.exact import NeighbourGraph
from triptych_cluster.parameters import Parameters

TREE_STEPS = 3
"""How often `density_groups` reports: the forest, the hierarchy, the selection."""


@dataclass(frozen=True, kw_only=True)
class DensityGroups:
    """Which group each face belongs to, and how firmly.

    Attributes:
        labels: int64 [n], number of the group, ≥ 0 but not dense; -1 where none.
        probabilities: float64 [n], 0..1, λ (1 / distance) of the face over the largest λ of its group; 0 outside.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def density_groups(graph: NeighbourGraph, parameters: Parameters, *, on_step: Callable[[int], None]) -> DensityGroups:
    """Select the groups of faces with the largest excess of mass.

    Components of the graph never share a group: they meet at the distance of strangers, which is above the ceiling, and
    what lives no longer than that has no mass. So a component's groups are the same whichever others are beside it.

    Args:
        graph: nearest faces below the ceiling, of components with at least `min_cluster_size` faces.
        parameters: of the faces' model.
        on_step: called before each of the `TREE_STEPS` steps, and within, with how many are done; may raise to stop the
            work.
    """
    on_step(0)
    forest = _spanning_forest(graph, parameters)
    on_step(0)
    component = component_labels(graph)
    on_step(1)
    spanning = _spanning_tree(forest, component, parameters)
    hierarchy = single_linkage(spanning, on_edges=lambda: on_step(1))
    tree = condense_tree(hierarchy, min_cluster_size=parameters.min_cluster_size)
    on_step(2)
    chosen, firmness, _ = get_clusters(tree, compute_stability(tree))
    faces = len(graph.neighbours)
    return DensityGroups(labels=chosen[:faces], probabilities=np.where(chosen >= 0, firmness, 0.0)[:faces])


def _spanning_forest(graph: NeighbourGraph, parameters: Parameters) -> NDArray[np.float64]:
    """The minimum spanning forest, rows (face, face, mutual reachability), nearest first."""
    weights = edges(graph)
    core = _core_distances(graph, parameters)
    rows = np.repeat(np.arange(len(core)), np.diff(weights.indptr))
    reach = np.maximum(weights.data, np.float32(parameters.same_distance))
    reach = np.maximum(reach, np.maximum(core[rows], core[weights.indices]))
    weights.data = reach.astype(np.float64)
    forest = minimum_spanning_tree(weights).tocoo()
    low, high = np.minimum(forest.row, forest.col), np.maximum(forest.row, forest.col)
    order = np.lexsort((high, low, forest.data))
    return np.column_stack([low, high, forest.data])[order].astype(np.float64)


def _core_distances(graph: NeighbourGraph, parameters: Parameters) -> NDArray[np.float32]:
    """Distance within which each face has `min_samples` faces, itself included, [n]; the ceiling where it has fewer."""
    if parameters.min_samples == 1:
        return np.zeros(len(graph.distances), np.float32)
    return np.minimum(graph.distances[:, parameters.min_samples - 2], np.float32(parameters.ceiling))


def _spanning_tree(
    forest: NDArray[np.float64], component: NDArray[np.int32], parameters: Parameters
) -> NDArray[np.float64]:
    """One tree of the forest: its components and a group of nobody, joined at the distance of strangers.

    HDBSCAN never selects the root, so where all faces are one person's there must be something beside them: as many
    points as make a group, which belong to no face and have no mass.
    """
    faces = len(component)
    nobody = faces + np.arange(parameters.min_cluster_size)
    ends = np.concatenate([nobody[:1], np.unique(component, return_index=True)[1]])
    # Pairs, then pairs of pairs: a chain of all components would be as deep as they are many.
    joins = [np.column_stack([np.full(len(nobody) - 1, nobody[0]), nobody[1:]])]
    stride = 1
    while stride < len(ends):
        left = np.arange(0, len(ends) - stride, 2 * stride)
        joins.append(np.column_stack([ends[left], ends[left + stride]]))
        stride *= 2
    pairs = np.concatenate(joins)
    return np.vstack([forest, np.column_stack([pairs, np.full(len(pairs), parameters.stranger_distance)])])


def dense(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same groups, numbered 0..g-1 in the order of their old numbers; -1, none, stays."""
    numbered = np.full(len(labels), -1, np.int64)
    members = labels >= 0
    numbered[members] = np.unique(labels[members], return_inverse=True)[1]
    return numbered
