"""An approximate nearest-neighbour graph of faces, for libraries where comparing all pairs would take too long.

Each face is compared with those of the cells nearest to it by sketches of 128 numbers, and the best candidates in full.
Which faces are linked is approximate, the distances are not. What was measured, and what else was tried, is in
docs/decisions/0016-neighbours.md.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from triptych_cluster.neighbours.cells import Cells
from triptych_cluster.neighbours.exact import NeighbourGraph
from triptych_cluster.parallel import in_parallel
from triptych_cluster.parameters import Metric

LEAST_FACES: Final = 1000
"""With fewer there is too little to learn cells from."""
PREPARATION_STEPS: Final = 4
"""What `sort_into_cells` and `approximate_neighbours` do before the first chunk of faces looks for its neighbours."""

_CANDIDATES_PER_NEIGHBOUR = 3
"""Sketches do not tell the nearest of hundreds of faces of one person: with 1½ a seventh of all edges is missed,
with 3 a thirtieth."""
_CHUNKS = 16
_CHUNK_ROWS_MIN, _CHUNK_ROWS_MAX = 256, 4096
_BLOCK_COLUMNS = 1024
"""Faces of a cell that are compared with a chunk's in one product: at most 16 MiB."""


def chunk_rows(face_count: int) -> int:
    """How many faces look for their neighbours between two reports."""
    return min(max(-(-face_count // _CHUNKS), _CHUNK_ROWS_MIN), _CHUNK_ROWS_MAX)


def step_count(face_count: int) -> int:
    """How many steps `sort_into_cells` and `approximate_neighbours` together count for so many faces."""
    return PREPARATION_STEPS + -(-face_count // chunk_rows(face_count))


def approximate_neighbours(
    embeddings: NDArray[np.float32],
    photo_ids: NDArray[np.int64],
    cells: Cells,
    *,
    metric: Metric,
    neighbour_count: int,
    ceiling: float,
    on_step: Callable[[int], None],
) -> NeighbourGraph:
    """Find nearly all of each face's nearest neighbours at or below the ceiling, never in its own photo.

    Args:
        embeddings: float32 [n, d], prepared for the metric, in the order of the cells.
        photo_ids: int64 [n], the photo that each face is in, in that order.
        cells: from `sort_into_cells`.
        metric: how two rows are compared.
        neighbour_count: k, ≥ 1.
        ceiling: largest distance of an edge, > 0, in the metric's unit.
        on_step: called with the number of steps that are done, from 3 on; may raise to stop the work.
    """
    face_count = len(embeddings)
    on_step(3)
    half_squares = metric.half_squares(embeddings)
    neighbours = np.empty((face_count, neighbour_count), np.int32)
    closeness = np.empty((face_count, neighbour_count), np.float32)
    # Each face finds itself.
    candidates = _CANDIDATES_PER_NEIGHBOUR * neighbour_count + 1

    def find(part: slice) -> None:
        found = _candidates(cells, part, candidates, floors=cells.sketches.floors(part, metric, ceiling))
        own = np.arange(part.start, part.stop)[:, None]
        # Nobody is told as oneself.
        found = np.where(found < 0, own, found)
        close = _products(embeddings[part], embeddings, found)
        close -= half_squares[part, None]
        close -= half_squares[found]
        unfit = (found == own) | (close < np.float32(metric.closeness(ceiling)))
        unfit |= photo_ids[found] == photo_ids[part, None]
        close[unfit] = -np.inf
        neighbours[part], closeness[part] = _closest(found, close, neighbour_count)

    rows = chunk_rows(face_count)
    parts = [slice(start, min(start + rows, face_count)) for start in range(0, face_count, rows)]
    in_parallel(find, parts, on_part=lambda done: on_step(PREPARATION_STEPS + done))
    distances = np.where(neighbours >= 0, metric.distance(closeness), np.float32(np.inf))
    return NeighbourGraph(neighbours=neighbours, distances=distances)


def _candidates(cells: Cells, part: slice, count: int, *, floors: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each of the faces of a part, [m], those whose sketches are nearest in the cells that it probes, [m, count].

    In no order; -1 fills the places of those below the floors [m].
    """
    best = faiss.ResultHeap(len(floors), count, keep_max=True)
    best.D[:] = floors[:, None]
    asking = cells.sketches.asking[part]
    for askers, asked in _meetings(cells, part):
        products = asking[askers] @ cells.sketches.asked[asked].T
        best.add_result_subset(askers, products, np.arange(asked.start, asked.stop))
    found: NDArray[np.int64] = best.I
    return found


def _meetings(cells: Cells, part: slice) -> Iterator[tuple[NDArray[np.intp], slice]]:
    """Which of a part's faces, by their places in it, are to be compared with which faces."""
    probed = cells.probed[part]
    cell_number = len(cells.starts) - 1
    # Numbers of 16 bits are sorted by radix.
    flat = probed.ravel().astype(np.uint16 if cell_number < 2**16 else np.uint32)
    askers = np.argsort(flat, kind="stable") // probed.shape[1]
    ends = np.cumsum(np.bincount(flat, minlength=cell_number))
    # Their own cells first: who has found the nearest needs to note few of those who come later.
    nearest = np.unique(probed[:, 0])
    rest = np.setdiff1d(np.flatnonzero(np.diff(ends, prepend=0)), nearest)
    for cell in np.concatenate([nearest, rest]).tolist():
        of_cell = askers[ends[cell - 1] if cell else 0 : ends[cell]]
        for start in range(cells.starts[cell], cells.starts[cell + 1], _BLOCK_COLUMNS):
            yield of_cell, slice(start, min(start + _BLOCK_COLUMNS, cells.starts[cell + 1]))


def _closest(
    found: NDArray[np.int64], close: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The closest of each row's candidates [m, c], and how close, [m, count]; -1 where no more are closer than -inf.

    By closeness, then by number: the answer must not depend on how sketches rank what is equal.
    """
    # Numbers that are not negative are ordered as their bits are, so one sort of whole numbers orders by both. Adding 0
    # makes 0 of -0.
    away = (np.maximum(-close, np.float32(0)) + np.float32(0)).view(np.uint32)
    ranked = np.sort(away.astype(np.uint64) << np.uint64(32) | found.astype(np.uint64), axis=1)[:, :count]
    closeness = -(ranked >> np.uint64(32)).astype(np.uint32).view(np.float32)
    faces = (ranked & np.uint64(2**32 - 1)).astype(np.int32)
    return np.where(np.isinf(closeness), np.int32(-1), faces), closeness


def _products(
    rows: NDArray[np.float32], embeddings: NDArray[np.float32], found: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The inner products [r, c] of each row [r, d] with the embeddings [n, d] that it found [r, c]."""
    products = np.empty(found.shape, np.float32)
    # Not in the package's stubs.
    faiss_functions: Any = faiss
    faiss_functions.fvec_inner_products_by_idx(
        faiss.swig_ptr(products),
        faiss.swig_ptr(rows),
        faiss.swig_ptr(embeddings),
        faiss.swig_ptr(found),
        rows.shape[1],
        *found.shape,
    )
    return products
