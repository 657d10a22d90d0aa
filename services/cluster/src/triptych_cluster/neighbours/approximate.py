"""An approximate nearest-neighbour graph of faces, for libraries where comparing all pairs would take too long.

Faces are projected to 128 numbers and sorted into cells; each looks among the coded faces of the cells nearest to it
(inverted lists with product quantization in registers: faiss' `IndexIVFPQFastScan`; H. Jégou, M. Douze, C. Schmid:
Product Quantization for Nearest Neighbor Search (2011)), and the best candidates are compared in full. Which faces are
linked is approximate, the distances are not. What was measured, and what else was tried, is in
docs/decisions/0016-neighbours.md.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from triptych_cluster.neighbours.arrangement import chunks
from triptych_cluster.neighbours.exact import NeighbourGraph
from triptych_cluster.parameters import Metric

LEAST_FACES: Final = 1000
"""With fewer there is too little to learn cells and codes from."""
SKETCH_DIMENSION: Final = 128
"""Numbers of a projected face. With 64, a fifth of the edges of small groups are missed; 96 costs as much as 128."""
PREPARATION_STEPS: Final = 5
"""What `sort_into_cells` and `approximate_neighbours` do before the first chunk of faces looks for its neighbours."""

_CELLS_PER_ROOT = 1.2
_PROBED_SHARE = 0.09
_PROBED_LEAST, _PROBED_MOST = 8, 48
_SAMPLES_PER_CELL = 64
_BASIS_SAMPLES = 8192
_CODE_SAMPLES = 4096
_ITERATIONS = 6
_CHUNKS = 32
_CHUNK_ROWS_MIN, _CHUNK_ROWS_MAX = 256, 2048


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Faces sorted into cells, so that those that are compared lie side by side.

    Attributes:
        order: int64 [n], the faces, cell after cell.
        sketches: float32 [n, s], their projections, in that order.
        centres: float32 [c, s], of the cells.
    """

    order: NDArray[np.intp]
    sketches: NDArray[np.float32]
    centres: NDArray[np.float32]


def cell_count(face_count: int) -> int:
    """How many cells so many faces are sorted into, ≥ 1: a little more than √n."""
    return max(1, round(_CELLS_PER_ROOT * math.sqrt(face_count)))


def probed_cells(cells: int) -> int:
    """In how many of the cells each face looks: 9 %, at least 8, and 48 at most, so that a million stay affordable."""
    return min(cells, max(_PROBED_LEAST, min(round(_PROBED_SHARE * cells), _PROBED_MOST)))


def chunk_rows(face_count: int) -> int:
    """How many faces look for their neighbours between two reports."""
    return min(max(-(-face_count // _CHUNKS), _CHUNK_ROWS_MIN), _CHUNK_ROWS_MAX)


def step_count(face_count: int) -> int:
    """How many steps `sort_into_cells` and `approximate_neighbours` together count for so many faces."""
    return PREPARATION_STEPS + -(-face_count // chunk_rows(face_count))


def sort_into_cells(
    embeddings: NDArray[np.float32],
    order: NDArray[np.intp],
    *,
    metric: Metric,
    seed: int,
    on_step: Callable[[int], None],
) -> Cells:
    """Sort faces into cells of faces that resemble each other, by spherical or plain k-means on a sample.

    Args:
        embeddings: float32 [n, d], checked but not prepared for the metric; n ≥ `LEAST_FACES`.
        order: intp [n], in which they are looked at; the answer depends on them, this order and the seed alone.
        metric: how two rows are compared.
        seed: of all samples.
        on_step: called with 0, 1 or 2 while or before they take time; may raise to stop the work.
    """
    random = np.random.default_rng(seed)
    on_step(0)
    sketches = _sketches(embeddings, order, metric, random, on_chunk=lambda: on_step(0))
    count = cell_count(len(order))
    training = faiss.Clustering(sketches.shape[1], count)
    # One at a time, each from the centres of the one before: the work can stop in between.
    training.niter = 1
    training.seed = seed
    training.spherical = metric is Metric.COSINE
    training.min_points_per_centroid = 1
    training.max_points_per_centroid = _SAMPLES_PER_CELL
    quantizer = _flat(sketches.shape[1], metric)
    sample = sketches[_sample(random, len(order), _SAMPLES_PER_CELL * count)]
    for _ in range(_ITERATIONS):
        on_step(1)
        training.train(sample, quantizer)
    centres = faiss.vector_to_array(training.centroids).reshape(count, -1)
    cells = np.empty(len(order), np.int64)
    for part in chunks(len(order)):
        on_step(2)
        cells[part] = quantizer.search(sketches[part], 1)[1][:, 0]
    by_cell = np.argsort(cells, kind="stable")
    return Cells(order=order[by_cell], sketches=sketches[by_cell], centres=centres)


def approximate_neighbours(
    embeddings: NDArray[np.float32],
    photo_ids: NDArray[np.int64],
    cells: Cells,
    *,
    metric: Metric,
    neighbour_count: int,
    ceiling: float,
    seed: int,
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
        seed: of all samples.
        on_step: called with the number of steps that are done, from 3 on; may raise to stop the work.
    """
    face_count = len(embeddings)
    on_step(3)
    index = _coded(cells, metric, seed)
    for part in chunks(face_count):
        on_step(4)
        index.add(cells.sketches[part])
    half_squares = metric.half_squares(embeddings)
    neighbours = np.empty((face_count, neighbour_count), np.int32)
    closeness = np.empty((face_count, neighbour_count), np.float32)
    rows = chunk_rows(face_count)
    for done, start in enumerate(range(0, face_count, rows)):
        on_step(PREPARATION_STEPS + done)
        part = slice(start, min(start + rows, face_count))
        # Half as many again as are wanted, as codes are coarse; and each face finds itself.
        _, found = index.search(cells.sketches[part], neighbour_count + neighbour_count // 2 + 1)
        close = _products(embeddings[part], embeddings, found)
        close -= half_squares[part, None]
        close -= half_squares[found]
        unfit = (found < 0) | (close < np.float32(metric.closeness(ceiling)))
        unfit |= photo_ids[found] == photo_ids[part, None]
        close[unfit] = -np.inf
        # By closeness, then by number: the answer must not depend on how codes rank what is equal.
        best = np.lexsort((found, -close), axis=1)[:, :neighbour_count]
        closeness[part] = np.take_along_axis(close, best, axis=1)
        neighbours[part] = np.where(np.isinf(closeness[part]), -1, np.take_along_axis(found, best, axis=1))
    distances = np.where(neighbours >= 0, metric.distance(closeness), np.float32(np.inf))
    return NeighbourGraph(neighbours=neighbours, distances=distances)


def _sketches(
    embeddings: NDArray[np.float32],
    order: NDArray[np.intp],
    metric: Metric,
    random: np.random.Generator,
    *,
    on_chunk: Callable[[], None],
) -> NDArray[np.float32]:
    """The faces' projections onto their principal directions, [n, s], in this order.

    About the origin for cosine, whose inner products it is to keep; about the mean for Euclidean distances.
    """
    sample = metric.normalised(embeddings[order[_sample(random, len(order), _BASIS_SAMPLES)]])
    mean = sample.mean(axis=0) if metric is Metric.EUCLIDEAN else np.zeros(sample.shape[1], np.float32)
    sample = sample - mean
    moments = (sample.T @ sample).astype(np.float64)
    # Threads would wait for each other at every column: 2 s instead of 0.1 on a busy machine.
    with threadpool_limits(1, "blas"):
        _, directions = np.linalg.eigh(moments)
    basis = directions[:, ::-1][:, :SKETCH_DIMENSION].astype(np.float32)
    # Codes take two numbers each.
    sketches = np.zeros((len(order), basis.shape[1] + basis.shape[1] % 2), np.float32)
    offset = (mean @ directions[:, ::-1][:, :SKETCH_DIMENSION]).astype(np.float32)
    for part in chunks(len(order)):
        on_chunk()
        sketches[part, : basis.shape[1]] = metric.normalised(embeddings[order[part]]) @ basis - offset
    return sketches


def _coded(cells: Cells, metric: Metric, seed: int) -> Any:
    """An empty index with the cells' centres, whose codes are learnt from a sample of the sketches."""
    cell_number, dimension = cells.centres.shape
    quantizer = _flat(dimension, metric)
    quantizer.add(cells.centres)
    index = faiss.IndexIVFPQFastScan(quantizer, dimension, cell_number, dimension // 2, 4, _measure(metric))
    index.by_residual = False
    index.nprobe = probed_cells(cell_number)
    index.pq.cp.niter = _ITERATIONS
    index.pq.cp.seed = seed
    sample = cells.sketches[_sample(np.random.default_rng(seed), len(cells.sketches), _CODE_SAMPLES)]
    # Many tiny k-means: more threads would only wait for each other (3 s instead of 0.1 s on a busy machine).
    with _threads(1):
        index.train(sample)
    return index


def _flat(dimension: int, metric: Metric) -> Any:
    return faiss.IndexFlat(dimension, _measure(metric))


def _measure(metric: Metric) -> int:
    measure: int = faiss.METRIC_INNER_PRODUCT if metric is Metric.COSINE else faiss.METRIC_L2
    return measure


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


def _sample(random: np.random.Generator, count: int, most: int) -> NDArray[np.intp]:
    """At most so many of the numbers below `count`, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(random.choice(count, most, replace=False))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads in faiss, for this thread of ours."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
