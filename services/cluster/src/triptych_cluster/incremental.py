"""New faces in a library that was grouped before: the kept graph is renewed, and only what they touch is grouped.

The graph of all faces is that of the former run, but for the new ones, which are compared with all, and for those that
lost one of as many neighbours as are kept, which may have a next one. A component of the graph that has the same faces
and edges as before has the same groups, and they are taken over. Groups are merged across components as in any run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.arrangement import arranged, content_order
from triptych_cluster.clustering import Faces, Grouping, Progress, Reporter, meaningful_edges, merged, reporter
from triptych_cluster.components import component_batches, component_labels
from triptych_cluster.graph import ArrangedGraph
from triptych_cluster.grouping import group_components
from triptych_cluster.kept_state import KeptFaces, component_marks, first_members
from triptych_cluster.neighbours import NearestLists, NeighbourGraph
from triptych_cluster.parameters import Metric, Parameters
from triptych_cluster.tree import DensityGroups
from triptych_cluster.workspace import IN_MEMORY, Workspace

BLOCK_ROWS = 2048
"""Faces that are compared in one product: a block of closeness is 16 MiB at most."""
WORTHWHILE_SHARE = 0.25
"""Share of faces to be searched above which a run from scratch is not slower: it compares each pair once, this one the
searched faces with all."""


@dataclass(frozen=True, kw_only=True)
class Increment:
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


def is_worthwhile(known: KeptFaces) -> bool:
    """Whether so few faces are to be searched that this is quicker than a run from scratch."""
    return int(np.count_nonzero(~known.is_complete)) <= WORTHWHILE_SHARE * len(known.is_complete)


def cluster_increment(
    faces: Faces,
    known: KeptFaces,
    parameters: Parameters,
    *,
    workspace: Workspace = IN_MEMORY,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Increment:
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
        ValueError: if an embedding cannot be compared, or `known` is of another number of faces or neighbours.
        OSError: if the workspace has no room.
    """
    shape = (len(faces.photo_ids), parameters.neighbour_count)
    if known.graph.neighbours.shape != shape:
        raise ValueError(f"Of {shape[0]} faces with {shape[1]} neighbours, {known.graph.neighbours.shape} are known.")
    parameters.metric.check(faces.embeddings)
    report = reporter(on_progress, is_cancelled)
    order = content_order(faces.embeddings, faces.photo_ids, faces.scores)
    former = known.arranged(order)
    embeddings = arranged(faces.embeddings, order, parameters.metric, workspace)
    graph = _up_to_date(embeddings, faces.photo_ids[order], former, parameters, report=report)
    ready = ArrangedGraph(order=order, embeddings=embeddings, graph=graph)
    density, marks, regrouped = _grouped(faces, ready, former, parameters, report=report)
    kept = KeptFaces(
        face_ids=former.face_ids,
        graph=graph,
        is_complete=np.ones(len(order), bool),
        is_new=np.zeros(len(order), bool),
        groups=first_members(density.labels, former.face_ids),
        probabilities=density.probabilities.astype(np.float32),
        marks=marks,
    )
    return Increment(
        grouping=merged(faces, ready, density, parameters, report=report),
        kept=kept.arranged(np.argsort(order)),
        searched=int(np.count_nonzero(~known.is_complete)),
        regrouped=regrouped,
    )


def _up_to_date(
    embeddings: NDArray[np.float32],
    photo_ids: NDArray[np.int64],
    known: KeptFaces,
    parameters: Parameters,
    *,
    report: Reporter,
) -> NeighbourGraph:
    """The graph of all faces: faces whose list is not complete are compared with all, and offered to all if new."""
    metric = parameters.metric
    lists = NearestLists.of_graph(known.graph, metric=metric, ceiling=parameters.ceiling)
    incomplete = np.flatnonzero(~known.is_complete)
    # What they had is found again, with the rest.
    lists.neighbours[incomplete] = -1
    lists.closeness[incomplete] = lists.floor
    blocks = list(_blocks(len(incomplete), len(embeddings)))
    on_block = report("neighbours", len(blocks))
    for done, (part, columns) in enumerate(blocks):
        on_block(done)
        rows = incomplete[part]
        closeness = _closeness(embeddings, rows, columns, metric)
        closeness[photo_ids[rows][:, None] == photo_ids[columns][None, :]] = -np.inf
        found, others = np.nonzero(closeness > lists.worst()[rows][:, None])
        lists.offer(rows[found], others + columns.start, closeness[found, others])
        new = np.flatnonzero(known.is_new[rows])
        bars = np.where(known.is_complete[columns], lists.worst()[columns], np.inf)
        found, others = np.nonzero(closeness[new] > bars[None, :])
        lists.offer(others + columns.start, rows[new[found]], closeness[new[found], others])
    on_block(len(blocks))
    return lists.graph(metric)


def _blocks(row_count: int, column_count: int) -> Iterator[tuple[slice, slice]]:
    for row in range(0, row_count, BLOCK_ROWS):
        for column in range(0, column_count, BLOCK_ROWS):
            yield slice(row, row + BLOCK_ROWS), slice(column, min(column + BLOCK_ROWS, column_count))


def _closeness(
    embeddings: NDArray[np.float32], rows: NDArray[np.intp], columns: slice, metric: Metric
) -> NDArray[np.float32]:
    left, right = embeddings[rows], embeddings[columns]
    closeness: NDArray[np.float32] = left @ right.T
    closeness -= metric.half_squares(left)[:, None]
    closeness -= metric.half_squares(right)[None, :]
    return closeness


def _grouped(
    faces: Faces, ready: ArrangedGraph, former: KeptFaces, parameters: Parameters, *, report: Reporter
) -> tuple[DensityGroups, NDArray[np.uint64], int]:
    """Groups of all components, those that did not change as they were; each face's mark, and how many are new."""
    graph = meaningful_edges(faces, ready, parameters)
    component = component_labels(graph)
    marks = component_marks(graph, component, former.face_ids)
    changed = np.zeros(int(component.max(initial=-1)) + 1, bool)
    changed[component[former.is_new | (marks != former.marks)]] = True
    touched = np.flatnonzero(changed[component])
    on_faces = report("tree", len(component))
    rest = len(component) - len(touched)
    on_faces(rest)
    numbers = np.unique(component[touched], return_inverse=True)[1]
    batches = [touched[batch] for batch in component_batches(numbers, least_faces=parameters.min_cluster_size)]
    grouped = group_components(
        graph, batches, faces.photo_ids[ready.order], parameters, on_faces=lambda done: on_faces(rest + done)
    )
    untouched = ~changed[component]
    labels, probabilities = grouped.labels, grouped.probabilities
    probabilities[untouched] = former.probabilities[untouched]
    members = np.flatnonzero(untouched & (former.groups >= 0))
    labels[members] = np.unique(former.groups[members], return_inverse=True)[1] + labels.max(initial=-1) + 1
    on_faces(len(component))
    return DensityGroups(labels=labels, probabilities=probabilities), marks, len(touched)
