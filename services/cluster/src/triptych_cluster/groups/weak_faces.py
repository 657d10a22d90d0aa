"""Faces that say little (small, blurred, hardly detected) may belong to a person, but never hold two together."""

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.neighbours.exact import NeighbourGraph
from triptych_cluster.parameters import Parameters


def weak_faces(scores: NDArray[np.float32], sizes: NDArray[np.float32], parameters: Parameters) -> NDArray[np.bool_]:
    """Which faces [n] say little: detected below `weak_below_score` or smaller than `weak_below_pixels`.

    Args:
        scores: float32 [n], detection scores.
        sizes: float32 [n], shorter side of each face's box in the photo, in pixels; 0 where unknown, which is not weak.
        parameters: of the faces' model.
    """
    return (scores < parameters.weak_below_score) | ((sizes > 0) & (sizes < parameters.weak_below_pixels))


def without_bridges(graph: NeighbourGraph, weak: NDArray[np.bool_]) -> NeighbourGraph:
    """The graph in which each weak face has begun one edge only, and no other face has one to it.

    The edge is that to the nearest face that is not weak; to the nearest weak one where no other is near. So what weak
    faces there are on a way between two others, the way is not there; and a face that only weak ones resemble still
    finds a group.

    Args:
        graph: nearest faces below the ceiling.
        weak: bool [n].
    """
    if not weak.any():
        return graph
    rows, slots = np.nonzero(graph.neighbours >= 0)
    others, distances = graph.neighbours[rows, slots], graph.distances[rows, slots]
    # Seen from both ends: a face need not be among the nearest of its own nearest.
    owners = np.concatenate([rows, others])
    ends = np.concatenate([others, rows]).astype(np.int32)
    distances = np.concatenate([distances, distances])
    of_weak = np.flatnonzero(weak[owners])
    ranked = of_weak[np.lexsort((ends[of_weak], distances[of_weak], weak[ends[of_weak]], owners[of_weak]))]
    _, first = np.unique(owners[ranked], return_index=True)
    kept = ranked[first]
    neighbours = np.where(weak[:, None] | weak[graph.neighbours], np.int32(-1), graph.neighbours)
    neighbours, lengths = _nearest_first(neighbours, graph.distances)
    neighbours[owners[kept], 0] = ends[kept]
    lengths[owners[kept], 0] = distances[kept]
    return NeighbourGraph(neighbours=neighbours, distances=lengths)


def _nearest_first(
    neighbours: NDArray[np.int32], distances: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The lists without the gaps that -1 leaves in them, and their distances."""
    order = np.argsort(neighbours < 0, axis=1, kind="stable")
    neighbours = np.take_along_axis(neighbours, order, axis=1)
    distances = np.take_along_axis(distances, order, axis=1)
    return neighbours, np.where(neighbours >= 0, distances, np.float32(np.inf))
