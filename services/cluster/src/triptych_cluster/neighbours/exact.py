"""The exact nearest-neighbour graph of faces under a distance ceiling, in counted blocks and bounded memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.parameters import Metric

# With fewer block pairs, 36 of them, a caller could not show steady progress on a few thousand faces.
_BLOCKS_PER_SIDE = 8
# Few rows cost a few milliseconds, and even a small library has progress to show; above 2048 a block of similarities
# (16 MiB) leaves the cache so far behind that larger ones gain nothing.
_BLOCK_ROWS_MIN = 1
_BLOCK_ROWS_MAX = 2048


@dataclass(frozen=True, kw_only=True)
class NeighbourGraph:
    """For every face its nearest faces below the ceiling, nearest first.

    Attributes:
        neighbours: int32 [n, k], index of each neighbour; -1 fills the places that have none.
        distances: float32 [n, k], distance to each neighbour in the metric's unit, ≥ 0; infinite where there is none.
    """

    neighbours: NDArray[np.int32]
    distances: NDArray[np.float32]


def block_rows(face_count: int) -> int:
    """How many faces make one side of a block, 1..2048, for so many faces."""
    return min(max(-(-face_count // _BLOCKS_PER_SIDE), _BLOCK_ROWS_MIN), _BLOCK_ROWS_MAX)


def block_pair_count(face_count: int) -> int:
    """How many pairs of blocks `nearest_neighbours` compares for so many faces, each with itself included."""
    sides = -(-face_count // block_rows(face_count))
    return sides * (sides + 1) // 2


def nearest_neighbours(
    embeddings: NDArray[np.float32],
    photo_ids: NDArray[np.int64],
    *,
    metric: Metric,
    neighbour_count: int,
    ceiling: float,
    on_block: Callable[[int], None],
) -> NeighbourGraph:
    """Find each face's nearest neighbours at or below the ceiling, never in its own photo.

    Every pair of blocks is multiplied once, in float32, and serves the rows of both: n²·d floating-point operations.
    Memory beyond the input is the answer and what the pairs of one block need: a few times 16 MiB in real libraries,
    0.5 GB at worst, where all faces are the same.

    Args:
        embeddings: float32 [n, d], C-contiguous; unit rows where the metric is cosine.
        photo_ids: int64 [n], the photo that each face is in.
        metric: how two rows are compared.
        neighbour_count: k, ≥ 1.
        ceiling: largest distance of an edge, > 0, in the metric's unit.
        on_block: called before each block pair with how many are done; may raise to stop the work.

    Returns:
        The graph. It depends on the order of the faces only where two distances are exactly equal.
    """
    face_count = len(embeddings)
    best = NearestLists.empty(face_count, neighbour_count, floor=metric.closeness(ceiling))
    half_squares = metric.half_squares(embeddings)
    rows = block_rows(face_count)
    done = 0
    for first in range(0, face_count, rows):
        for second in range(first, face_count, rows):
            on_block(done)
            left, right = slice(first, first + rows), slice(second, second + rows)
            closeness = embeddings[left] @ embeddings[right].T
            closeness -= half_squares[left, None]
            closeness -= half_squares[None, right]
            if first == second:
                closeness[np.tri(len(closeness), dtype=bool)] = -np.inf
            _offer_block(best, closeness, photo_ids, first, second)
            done += 1
    return best.graph(metric)


def neighbours_between(
    rows: NDArray[np.float32],
    row_photo_ids: NDArray[np.int64],
    others: NDArray[np.float32],
    other_photo_ids: NDArray[np.int64],
    *,
    first_number: int,
    same: bool,
    metric: Metric,
    neighbour_count: int,
    ceiling: float,
) -> NeighbourGraph:
    """Find the nearest faces of one shard for each face of another: a worker's part of a graph beyond one machine.

    Args:
        rows: float32 [m, d], prepared for the metric.
        row_photo_ids: int64 [m].
        others: float32 [n, d], where neighbours are looked for.
        other_photo_ids: int64 [n].
        first_number: number of the first of the others in the whole library.
        same: whether both shards are one, whose faces must not find themselves.
        metric: how two rows are compared.
        neighbour_count: k, ≥ 1.
        ceiling: largest distance of an edge, > 0, in the metric's unit.

    Returns:
        [m, k]; `nearest_of` joins those of all shards.
    """
    best = NearestLists.empty(len(rows), neighbour_count, floor=metric.closeness(ceiling))
    row_halves, other_halves = metric.half_squares(rows), metric.half_squares(others)
    for start in range(0, len(others), _BLOCK_ROWS_MAX):
        part = slice(start, start + _BLOCK_ROWS_MAX)
        closeness = rows @ others[part].T
        closeness -= row_halves[:, None]
        closeness -= other_halves[None, part]
        closeness[row_photo_ids[:, None] == other_photo_ids[None, part]] = -np.inf
        if same:
            diagonal = np.arange(start, min(start + _BLOCK_ROWS_MAX, len(rows)))
            closeness[diagonal, diagonal - start] = -np.inf
        owners, found = np.nonzero(closeness > best.worst()[:, None])
        if len(owners):
            best.offer(owners, found + start + first_number, closeness[owners, found])
    return best.graph(metric)


def nearest_of(parts: list[NeighbourGraph]) -> NeighbourGraph:
    """The nearest [m, k] of what the same faces found in several shards, in ascending order of the shards' numbers."""
    neighbours = np.concatenate([part.neighbours for part in parts], axis=1)
    distances = np.concatenate([part.distances for part in parts], axis=1)
    order = np.argsort(distances, axis=1, kind="stable")[:, : parts[0].neighbours.shape[1]]
    return NeighbourGraph(
        neighbours=np.take_along_axis(neighbours, order, axis=1),
        distances=np.take_along_axis(distances, order, axis=1),
    )


def _offer_block(
    best: "NearestLists", closeness: NDArray[np.float32], photo_ids: NDArray[np.int64], first: int, second: int
) -> None:
    """Offer a block's pairs above the bar to the faces of its rows and to those of its columns."""
    bar = best.worst()
    row_bar = bar[first : first + closeness.shape[0]]
    column_bar = bar[second : second + closeness.shape[1]]
    # One comparison with the lower of all bars finds the few pairs that matter; the rest of the work is on those.
    flat = np.flatnonzero(closeness > min(row_bar.min(), column_bar.min()))
    rows, columns = np.divmod(flat, closeness.shape[1])
    values = closeness.ravel()[flat]
    apart = photo_ids[first + rows] != photo_ids[second + columns]
    rows, columns, values = rows[apart], columns[apart], values[apart]
    for owners, others, bars, own_start, other_start in (
        (rows, columns, row_bar, first, second),
        (columns, rows, column_bar, second, first),
    ):
        wanted = values > bars[owners]
        best.offer(owners[wanted] + own_start, others[wanted] + other_start, values[wanted])


@dataclass(frozen=True, kw_only=True)
class NearestLists:
    """The k closest faces seen so far of every face, closest first."""

    neighbours: NDArray[np.int32]
    closeness: NDArray[np.float32]
    floor: float
    """The closeness of nobody."""

    @classmethod
    def empty(cls, face_count: int, neighbour_count: int, *, floor: float) -> "NearestLists":
        """Nothing seen: each place is held by nobody, who is a trifle further away than the floor of closeness."""
        shape = (face_count, neighbour_count)
        floor = np.nextafter(np.float32(floor), np.float32(-np.inf))
        return cls(
            neighbours=np.full(shape, -1, np.int32), closeness=np.full(shape, floor, np.float32), floor=float(floor)
        )

    @classmethod
    def of_graph(cls, graph: NeighbourGraph, *, metric: Metric, ceiling: float) -> "NearestLists":
        """Those of a graph."""
        lists = cls.empty(*graph.neighbours.shape, floor=metric.closeness(ceiling))
        linked = graph.neighbours >= 0
        lists.neighbours[linked] = graph.neighbours[linked]
        lists.closeness[linked] = metric.closenesses(graph.distances[linked])
        return lists

    def worst(self) -> NDArray[np.float32]:
        """The closeness that a face must exceed to be kept, [n]: blocks come in order, so of equals the first stays."""
        return self.closeness[:, -1]

    def offer(self, owners: NDArray[np.intp], others: NDArray[np.intp], values: NDArray[np.float32]) -> None:
        """Keep for each owner the k closest of what it has and what it is offered; of equals the first stays."""
        count = self.neighbours.shape[1]
        touched = np.unique(owners)
        owners = np.concatenate([np.repeat(touched, count), owners])
        faces = np.concatenate([self.neighbours[touched].ravel(), others.astype(np.int32)])
        scores = np.concatenate([self.closeness[touched].ravel(), values])
        order = np.lexsort((-scores, owners))
        owners = owners[order]
        starts = np.searchsorted(owners, touched)
        place = np.arange(len(owners)) - np.repeat(starts, np.diff(starts, append=len(owners)))
        kept = order[place < count]
        self.neighbours[touched] = faces[kept].reshape(-1, count)
        self.closeness[touched] = scores[kept].reshape(-1, count)

    def graph(self, metric: Metric) -> NeighbourGraph:
        """What was kept, in the metric's own distances."""
        distances = np.where(self.neighbours >= 0, metric.distance(self.closeness), np.float32(np.inf))
        return NeighbourGraph(neighbours=self.neighbours, distances=distances.astype(np.float32))
