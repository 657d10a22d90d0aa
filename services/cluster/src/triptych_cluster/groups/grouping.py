"""Groups the faces of whole components of the graph: by density, then apart where faces of one photo meet."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.groups.together import split_where_together
from triptych_cluster.groups.tree import TREE_STEPS, DensityGroups, density_groups
from triptych_cluster.neighbours.components import part_of
from triptych_cluster.neighbours.exact import NeighbourGraph
from triptych_cluster.parameters import Parameters


def group_components(
    graph: NeighbourGraph,
    batches: list[NDArray[np.intp]],
    photo_ids: NDArray[np.int64],
    parameters: Parameters,
    *,
    on_faces: Callable[[int], None],
) -> DensityGroups:
    """Group batch after batch; what a component becomes depends on nothing outside it.

    Args:
        graph: nearest faces below the ceiling, n faces.
        batches: faces of whole components, each with at least `min_cluster_size`.
        photo_ids: int64 [n], photo of each face.
        parameters: of the faces' model.
        on_faces: called several times a batch with how many faces are grouped; may raise to stop the work.

    Returns:
        Groups of all n faces: -1 for those that are in no batch or no group.
    """
    labels = np.full(len(graph.neighbours), -1, np.int64)
    probabilities = np.zeros(len(graph.neighbours))
    grouped, next_label = 0, 0
    for batch in batches:
        before, size = grouped, len(batch)

        def on_step(done: int, *, before: int = before, size: int = size) -> None:
            on_faces(before + size * done // (TREE_STEPS + 1))

        part = part_of(graph, batch)
        density = density_groups(part, parameters, on_step=on_step)
        on_step(TREE_STEPS)
        found = split_where_together(density.labels, part, photo_ids[batch], parameters)
        labels[batch] = np.where(found >= 0, found + next_label, -1)
        probabilities[batch] = density.probabilities
        next_label += int(found.max(initial=-1)) + 1
        grouped += size
    return DensityGroups(labels=labels, probabilities=probabilities)
