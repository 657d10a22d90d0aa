"""Cells of faces that resemble each other, by k-means on their sketches: who is near is in the same one or beside it.

S. Lloyd: Least squares quantization in PCM (1982); spherical where the metric is cosine.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.aligned import aligned_rows
from triptych_cluster.neighbours.arrangement import chunks
from triptych_cluster.neighbours.sketches import Sketches, projected
from triptych_cluster.parallel import in_parallel
from triptych_cluster.parameters import Metric
from triptych_cluster.sums import group_sums

_CELLS_PER_ROOT = 2.0
_PROBED_SHARE = 0.04
_PROBED_LEAST, _PROBED_MOST = 24, 48
_SAMPLES_PER_CELL = 32
_ITERATIONS = 6


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Faces sorted into cells, so that those that are compared lie side by side.

    Attributes:
        order: intp [n], the faces, cell after cell.
        sketches: theirs, in that order.
        starts: intp [c + 1], where each cell begins, and the last ends.
        probed: int32 [n, p], the cells nearest to each face, in that order; its own is the first.
    """

    order: NDArray[np.intp]
    sketches: Sketches
    starts: NDArray[np.intp]
    probed: NDArray[np.int32]


def cell_count(face_count: int) -> int:
    """How many cells so many faces are sorted into, ≥ 1: twice √n."""
    return max(1, round(_CELLS_PER_ROOT * math.sqrt(face_count)))


def probed_cells(cells: int) -> int:
    """In how many of the cells each face looks: 4 %, at least 24, and 48 at most, so that a million stay affordable."""
    return min(cells, max(_PROBED_LEAST, min(round(_PROBED_SHARE * cells), _PROBED_MOST)))


def sort_into_cells(
    embeddings: NDArray[np.float32],
    order: NDArray[np.intp],
    *,
    metric: Metric,
    on_step: Callable[[int], None],
) -> Cells:
    """Sort faces into cells, and find the cells that are near each.

    Cells are learnt from the first faces of the order. In `content_order` these are a random sample that few other
    faces change, so a library that grows has nearly the same cells, and finds nearly the same edges.

    Args:
        embeddings: float32 [n, d], checked but not prepared for the metric.
        order: intp [n], in which they are looked at; the answer depends on them and this order alone.
        metric: how two rows are compared.
        on_step: called with 0, 1 or 2 while or before they take time; may raise to stop the work.
    """
    on_step(0)
    rows = projected(embeddings, order, metric, on_chunk=lambda: on_step(0))
    centres = _centres(rows, cell_count(len(rows)), metric, on_iteration=lambda: on_step(1))
    probed = _nearest_cells(rows, centres, metric, on_chunk=lambda: on_step(2))
    own = probed[:, 0]
    by_cell = np.argsort(own, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(own, minlength=len(centres)))])
    sketches = Sketches.of(aligned_rows(rows, by_cell), metric)
    return Cells(order=order[by_cell], sketches=sketches, starts=starts, probed=probed[by_cell])


def _centres(
    rows: NDArray[np.float32], count: int, metric: Metric, *, on_iteration: Callable[[], None]
) -> NDArray[np.float32]:
    """The centres of so many cells, [c, s], learnt from the first of the rows [n, s]."""
    sample = rows[: _SAMPLES_PER_CELL * count]
    centres = sample[:count]
    centres = metric.centroids(centres, np.ones(len(centres), np.int64))
    for _ in range(_ITERATIONS):
        on_iteration()
        nearest = _nearest_cell(sample, centres, metric)
        sums, counts = group_sums(nearest, sample, least_groups=len(centres))
        # A cell that nobody is nearest to stays where it is.
        filled = counts > 0
        centres[filled] = metric.centroids(sums[filled], counts[filled])
    return centres


def _nearest_cell(rows: NDArray[np.float32], centres: NDArray[np.float32], metric: Metric) -> NDArray[np.int32]:
    """The cell nearest to each row, [n]."""
    nearest = np.empty(len(rows), np.int32)

    def find(part: slice) -> None:
        nearest[part] = _nearness(rows[part], centres, metric).argmax(axis=1)

    in_parallel(find, list(chunks(len(rows))))
    return nearest


def _nearest_cells(
    rows: NDArray[np.float32], centres: NDArray[np.float32], metric: Metric, *, on_chunk: Callable[[], None]
) -> NDArray[np.int32]:
    """The cells nearest to each row, [n, p], the nearest of all first."""
    count = len(centres)
    probed = np.empty((len(rows), probed_cells(count)), np.int32)

    def find(part: slice) -> None:
        nearness = _nearness(rows[part], centres, metric)
        nearest = np.argpartition(nearness, count - probed.shape[1], axis=1)[:, count - probed.shape[1] :]
        own = np.take_along_axis(nearness, nearest, axis=1).argmax(axis=1)[:, None]
        first = np.take_along_axis(nearest, own, axis=1)
        np.put_along_axis(nearest, own, nearest[:, :1], axis=1)
        probed[part, :1], probed[part, 1:] = first, nearest[:, 1:]

    in_parallel(find, list(chunks(len(rows))), on_part=lambda done: on_chunk())
    return probed


def _nearness(rows: NDArray[np.float32], centres: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """How near each row is to each centre, [n, c]: closeness, but for what is the same for all centres."""
    nearness: NDArray[np.float32] = rows @ centres.T
    nearness -= metric.half_squares(centres)
    return nearness
