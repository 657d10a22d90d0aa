"""The connected components of the neighbour graph: people never reach across two of them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from triptych_cluster.neighbours.exact import NeighbourGraph

BATCH_FACES = 4096
"""Components are grouped this many faces at a time, or one component at a time where it is larger."""


def component_labels(graph: NeighbourGraph) -> NDArray[np.int32]:
    """The number of each face's component, [n]; dense, in the order of their first faces."""
    _, labels = connected_components(edges(graph), directed=False)
    return labels


def joined_components(parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    """The components [n] of all edges, out of those [n] that each shard found from its own edges alone.

    Two faces are connected where some shard says so, or a chain of shards; so a shard need only send its labels.
    """
    faces = len(parts[0])
    rows = np.tile(np.arange(faces), len(parts))
    starts = np.cumsum([0, *(int(labels.max(initial=-1)) + 1 for labels in parts)])
    columns = np.concatenate([labels + start for labels, start in zip(parts, starts[:-1], strict=True)])
    # Faces on one side, the shards' components on the other.
    size = faces + int(starts[-1])
    links = csr_array((np.ones(len(rows), bool), (rows, columns + faces)), shape=(size, size))
    _, labels = connected_components(links, directed=False)
    return np.unique(labels[:faces], return_inverse=True)[1].astype(np.int32)


def edges(graph: NeighbourGraph) -> csr_array:
    """The graph's distances as a sparse array [n, n]: an edge that both of its faces begin is there twice."""
    linked = graph.neighbours >= 0
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(linked, axis=1))])
    faces = len(graph.neighbours)
    return csr_array((graph.distances[linked], graph.neighbours[linked], starts.astype(np.int32)), shape=(faces, faces))


def component_batches(
    labels: NDArray[np.integer], *, least_faces: int, batch_faces: int = BATCH_FACES
) -> list[NDArray[np.intp]]:
    """The faces of all components that have enough for a group, whole components together in batches.

    Args:
        labels: [n], component of each face, dense.
        least_faces: fewest faces of a component that counts: smaller ones must not enter a tree, where several of them
            side by side would look like a group.
        batch_faces: a batch is full when it has as many.

    Returns:
        Faces, ascending in each batch; batches in the order of their components.
    """
    sizes = np.bincount(labels)
    by_component = np.argsort(labels, kind="stable")
    ends = np.cumsum(sizes)
    return [np.sort(batch) for batch in _batches(by_component, sizes, ends, least_faces, batch_faces)]


def _batches(
    by_component: NDArray[np.intp],
    sizes: NDArray[np.intp],
    ends: NDArray[np.intp],
    least_faces: int,
    batch_faces: int,
) -> Iterator[NDArray[np.intp]]:
    waiting: list[NDArray[np.intp]] = []
    faces = 0
    for component in np.flatnonzero(sizes >= least_faces).tolist():
        waiting.append(by_component[ends[component] - sizes[component] : ends[component]])
        faces += sizes[component]
        if faces >= batch_faces:
            yield np.concatenate(waiting)
            waiting, faces = [], 0
    if waiting:
        yield np.concatenate(waiting)


def part_of(graph: NeighbourGraph, faces: NDArray[np.intp]) -> NeighbourGraph:
    """The graph of these faces alone, numbered anew; all their neighbours must be among them."""
    place = np.full(len(graph.neighbours) + 1, -1, np.int32)
    place[faces] = np.arange(len(faces), dtype=np.int32)
    # -1, nobody, finds the last place, which stays -1.
    return NeighbourGraph(neighbours=place[graph.neighbours[faces]], distances=graph.distances[faces])
