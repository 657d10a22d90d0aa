"""The graph of near neighbours: which way it is made, how many steps that takes, and in which order its faces stand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.neighbours import approximate
from triptych_cluster.neighbours.arrangement import arranged, content_order
from triptych_cluster.neighbours.cells import sort_into_cells
from triptych_cluster.neighbours.exact import NeighbourGraph, block_pair_count, nearest_neighbours
from triptych_cluster.parameters import Parameters
from triptych_cluster.workspace import Workspace

Search = Literal["exact", "approximate"]

EXACT_UP_TO_FACES = 10_000
"""More faces than this are searched approximately, unless the caller says otherwise: comparing all pairs of 10,000
takes a second on two cores, of 100,000 a hundred."""


@dataclass(frozen=True, kw_only=True)
class ArrangedGraph:
    """The graph over faces in an order that depends on nothing but themselves.

    Attributes:
        order: intp [n], the caller's numbers of the faces.
        embeddings: float32 [n, d], prepared for the metric, in that order.
        graph: their nearest neighbours below the ceiling.
    """

    order: NDArray[np.intp]
    embeddings: NDArray[np.float32]
    graph: NeighbourGraph


def search_for(face_count: int) -> Search:
    """How neighbours are searched for among so many faces, where the caller has no wish."""
    return "exact" if face_count <= EXACT_UP_TO_FACES else "approximate"


def graph_steps(face_count: int, search: Search) -> int:
    """How many steps `arranged_graph` reports for so many faces."""
    if _search(face_count, search) == "exact":
        return block_pair_count(face_count)
    return approximate.step_count(face_count)


def arranged_graph(
    embeddings: NDArray[np.float32],
    photo_ids: NDArray[np.int64],
    scores: NDArray[np.float32],
    parameters: Parameters,
    *,
    search: Search,
    seed: int,
    workspace: Workspace,
    on_step: Callable[[int], None],
) -> ArrangedGraph:
    """Put the faces in order and link each with its nearest.

    Args:
        embeddings: float32 [n, d], C-contiguous, finite, as they came.
        photo_ids: int64 [n], the photo that each face is in.
        scores: float32 [n], detection scores.
        parameters: of the faces' model.
        search: how; a few hundred faces are always searched exactly.
        seed: of the order, whose first faces an approximate search takes for its sample.
        workspace: where the embeddings' copy in the new order goes.
        on_step: called before each of the `graph_steps`, with how many are done; may raise to stop the work.

    Raises:
        UnfitFacesError: if an embedding cannot be compared: see `Metric.check`.
        OSError: if the workspace has no room.
    """
    metric = parameters.metric
    metric.check(embeddings)
    order = content_order(embeddings, photo_ids, scores, seed=seed)
    if _search(len(order), search) == "exact":
        rows = arranged(embeddings, order, metric, workspace)
        graph = nearest_neighbours(
            rows,
            photo_ids[order],
            metric=metric,
            neighbour_count=parameters.neighbour_count,
            ceiling=parameters.ceiling,
            on_block=on_step,
        )
        return ArrangedGraph(order=order, embeddings=rows, graph=graph)
    cells = sort_into_cells(embeddings, order, metric=metric, on_step=on_step)
    rows = arranged(embeddings, cells.order, metric, workspace)
    graph = approximate.approximate_neighbours(
        rows,
        photo_ids[cells.order],
        cells,
        metric=metric,
        neighbour_count=parameters.neighbour_count,
        ceiling=parameters.ceiling,
        on_step=on_step,
    )
    return ArrangedGraph(order=cells.order, embeddings=rows, graph=graph)


def _search(face_count: int, wish: Search) -> Search:
    return "exact" if face_count < approximate.LEAST_FACES else wish
