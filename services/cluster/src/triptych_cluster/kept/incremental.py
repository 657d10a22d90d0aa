"""New faces in a library that was grouped before: the kept graph is renewed, and only what they touch is grouped.

The graph of all faces is that of the former run, but for the new ones, which are compared with all, and for those that
lost one of as many neighbours as are kept, which may have a next one. A component of the graph that has the same faces
and edges as before has the same groups, and they are taken over. Groups are merged across components as in any run.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.clustering import (
    Faces,
    Grouping,
    Progress,
    Reporter,
    linked,
    meaningful_edges,
    merged,
    reporter,
)
from triptych_cluster.groups.grouping import group_components
from triptych_cluster.groups.tree import DensityGroups, dense
from triptych_cluster.kept.graph import WORTHWHILE_SHARE, KeptGraph, renewed
from triptych_cluster.kept.state import KeptFaces, component_marks, first_members, group_marks
from triptych_cluster.neighbours.arrangement import arranged, content_order
from triptych_cluster.neighbours.components import component_batches, component_labels
from triptych_cluster.neighbours.exact import NeighbourGraph, nearest_neighbours
from triptych_cluster.neighbours.graph import ArrangedGraph, Search, search_for
from triptych_cluster.parameters import Parameters
from triptych_cluster.workspace import IN_MEMORY, Workspace

WORTHWHILE_FACES = 1500
"""Most faces to be compared with all where the graph of all would be approximate: of 20,000, 1,250 take 2.1 CPU seconds
and 2,500 take 3.1, where all take 2.4."""


@dataclass(frozen=True, kw_only=True)
class KeptGrouping:
    """A grouping, and what the next run can stand on.

    Attributes:
        grouping: of all faces, as `cluster_faces` would give it.
        kept: all faces, in the caller's order.
        searched: how many faces were compared with all.
        regrouped: how many faces are in components that changed.
    """

    grouping: Grouping
    kept: KeptFaces
    searched: int
    regrouped: int


def most_searched(face_count: int) -> int:
    """How many of so many faces may have to be compared with all before grouping all of them anew is as quick."""
    share = int(WORTHWHILE_SHARE * face_count)
    return share if search_for(face_count) == "exact" else min(share, WORTHWHILE_FACES)


def cluster_increment(
    faces: Faces,
    known: KeptFaces,
    parameters: Parameters,
    *,
    workspace: Workspace = IN_MEMORY,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> KeptGrouping:
    """Group all faces, given what a former run knew of some of them.

    The groups are those of a run from scratch over the same graph: of an exact one, ties and rounding aside, those of
    `cluster_faces(search="exact")`.

    Args:
        faces: n faces, those of the former run that are still there and new ones.
        known: what is known of each of them, found under the same parameters, or nothing of any.
        parameters: of the faces' model.
        workspace: where a copy of the embeddings goes.
        on_progress: called before every counted piece of work and at the end of each stage.
        is_cancelled: asked whenever progress is reported.

    Raises:
        Cancelled: if `is_cancelled` said so.
        UnfitFacesError: if an embedding cannot be compared.
        ValueError: if `known` is of another number of faces or neighbours.
        OSError: if the workspace has no room.
    """
    shape = (len(faces.photo_ids), parameters.neighbour_count)
    if (known_shape := known.faces.graph.neighbours.shape) != shape:
        raise ValueError(f"There are {shape[0]} faces with {shape[1]} neighbours, but {known_shape} are known.")
    parameters.metric.check(faces.embeddings)
    report = reporter(on_progress, is_cancelled)
    order = content_order(faces.embeddings, faces.photo_ids, faces.scores)
    former = known.arranged(order)
    embeddings = arranged(faces.embeddings, order, parameters.metric, workspace)
    blocks = former.faces.block_count()
    on_block = report("neighbours", blocks)
    graph = renewed(
        former.faces,
        embeddings,
        faces.photo_ids[order],
        metric=parameters.metric,
        ceiling=parameters.ceiling,
        on_block=on_block,
    )
    on_block(blocks)
    ready = ArrangedGraph(order=order, embeddings=embeddings, graph=graph)
    return _grouped_and_kept(faces, ready, former, parameters, report=report)


def cluster_to_keep(
    faces: Faces,
    face_ids: NDArray[np.int64],
    parameters: Parameters,
    *,
    search: Search | None = None,
    seed: int = 0,
    workspace: Workspace = IN_MEMORY,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> KeptGrouping:
    """Group all faces as `cluster_faces` does, and tell what the next run can stand on.

    Takes what `cluster_faces` takes, and raises what it raises; ``face_ids``, int64 [n] ≥ 0, are those by which the
    next run will know the faces.
    """
    report = reporter(on_progress, is_cancelled)
    ready = linked(
        faces,
        parameters,
        search=search or search_for(len(face_ids)),
        seed=seed,
        workspace=workspace,
        report=report,
    )
    nothing = KeptFaces.nothing(face_ids[ready.order], neighbour_count=parameters.neighbour_count)
    return _grouped_and_kept(faces, ready, nothing, parameters, report=report)


def _grouped_and_kept(
    faces: Faces, ready: ArrangedGraph, former: KeptFaces, parameters: Parameters, *, report: Reporter
) -> KeptGrouping:
    """Group the faces of a graph whose nodes are in the order of ``former``."""
    graph = meaningful_edges(faces, ready, parameters)
    component = component_labels(graph)
    marks = component_marks(graph, component, former.faces.ids)
    changed = _in_changed_components(component, marks, former)
    photo_ids = faces.photo_ids[ready.order]
    density = _grouped(graph, component, changed, former, parameters, photo_ids=photo_ids, report=report)
    near = _NearGroups(former, dense(density.labels), parameters)
    grouping = merged(faces, ready, density, parameters, report=report, compare=near.compare)
    kept = KeptFaces(
        faces=KeptGraph.whole(former.faces.ids, ready.graph),
        groups=first_members(density.labels, former.faces.ids),
        probabilities=density.probabilities.astype(np.float32),
        components=first_members(component, former.faces.ids),
        marks=marks,
        near_groups=near.kept,
    )
    return KeptGrouping(
        grouping=grouping,
        kept=kept.arranged(np.argsort(ready.order)),
        searched=former.faces.search_count(),
        regrouped=int(np.count_nonzero(changed)),
    )


class _NearGroups:
    """Which groups are near each other: of those with the same faces as before it is known."""

    def __init__(self, former: KeptFaces, labels: NDArray[np.int64], parameters: Parameters) -> None:
        self.kept = former.near_groups.of(group_marks(labels, former.faces.ids))
        self._parameters = parameters

    def compare(self, centroids: NDArray[np.float32], on_block: Callable[[int], None]) -> NeighbourGraph:
        """The graph of the groups' centroids, in the order of their numbers."""
        groups, parameters = np.arange(len(centroids)), self._parameters
        if self.kept.is_worthwhile():
            graph = renewed(
                self.kept,
                centroids,
                groups,
                metric=parameters.metric,
                ceiling=parameters.merge_distance,
                on_block=on_block,
            )
        else:
            graph = nearest_neighbours(
                centroids,
                groups,
                metric=parameters.metric,
                neighbour_count=parameters.neighbour_count,
                ceiling=parameters.merge_distance,
                on_block=on_block,
            )
        self.kept = KeptGraph.whole(self.kept.ids, graph)
        return graph


def _in_changed_components(
    component: NDArray[np.int32], marks: NDArray[np.uint64], former: KeptFaces
) -> NDArray[np.bool_]:
    """Which faces [n] are in components that have other faces or edges than before."""
    changed = np.zeros(int(component.max(initial=-1)) + 1, bool)
    changed[component[former.faces.is_new | (marks != former.marks)]] = True
    return changed[component]


def _grouped(
    graph: NeighbourGraph,
    component: NDArray[np.int32],
    changed: NDArray[np.bool_],
    former: KeptFaces,
    parameters: Parameters,
    *,
    photo_ids: NDArray[np.int64],
    report: Reporter,
) -> DensityGroups:
    """Groups of all components, those that did not change as they were."""
    touched, untouched = np.flatnonzero(changed), ~changed
    on_faces = report("tree", len(component))
    rest = len(component) - len(touched)
    on_faces(rest)
    numbers = np.unique(component[touched], return_inverse=True)[1]
    batches = [touched[batch] for batch in component_batches(numbers, least_faces=parameters.min_cluster_size)]
    grouped = group_components(graph, batches, photo_ids, parameters, on_faces=lambda done: on_faces(rest + done))
    labels, probabilities = grouped.labels, grouped.probabilities
    probabilities[untouched] = former.probabilities[untouched]
    members = np.flatnonzero(untouched & (former.groups >= 0))
    labels[members] = np.unique(former.groups[members], return_inverse=True)[1] + labels.max(initial=-1) + 1
    on_faces(len(component))
    return DensityGroups(labels=labels, probabilities=probabilities)
