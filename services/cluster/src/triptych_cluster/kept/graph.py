"""A graph of near neighbours that is kept from one run to the next, and brought up to date instead of made anew."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.neighbours.exact import NearestLists, NeighbourGraph
from triptych_cluster.parameters import Metric

BLOCK_ROWS = 1024
"""Most rows that are compared in one product with as many others; larger blocks gain nothing."""
_LEAST_COLUMNS = 64
_COLUMN_BLOCKS = 24
"""All rows are in so many blocks at least, if each then has `_LEAST_COLUMNS`: a few new faces have progress to show."""
WORTHWHILE_SHARE = 0.25
"""Share of rows to be searched above which comparing all with all is not slower: that looks at each pair once, this at
the searched rows with all."""


@dataclass(frozen=True, kw_only=True)
class KeptGraph:
    """What is known of the neighbours of n things, faces or groups.

    Attributes:
        ids: int64 [n], ≥ 0, by which they are known from one run to the next.
        graph: their nearest neighbours below the ceiling as they were found, by their places in these arrays.
        is_complete: bool [n], whether those are all there are to find among the things that are not new. Not of one
            that is new, or that had as many as are kept and lost one.
        is_new: bool [n], of which nothing is known.
    """

    ids: NDArray[np.int64]
    graph: NeighbourGraph
    is_complete: NDArray[np.bool_]
    is_new: NDArray[np.bool_]

    @classmethod
    def nothing(cls, ids: NDArray[np.int64], *, neighbour_count: int) -> "KeptGraph":
        """Things that are all new."""
        shape = (len(ids), neighbour_count)
        return cls(
            ids=ids,
            graph=NeighbourGraph(neighbours=np.full(shape, -1, np.int32), distances=np.full(shape, np.inf, np.float32)),
            is_complete=np.zeros(len(ids), bool),
            is_new=np.ones(len(ids), bool),
        )

    @classmethod
    def whole(cls, ids: NDArray[np.int64], graph: NeighbourGraph) -> "KeptGraph":
        """Things of which all is known."""
        return cls(ids=ids, graph=graph, is_complete=np.ones(len(ids), bool), is_new=np.zeros(len(ids), bool))

    def places(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Where among these ids each of the known ones is, [n]; -1 where it is gone."""
        place = np.full(len(self.ids), -1, np.int32)
        if len(ids):
            by_id = np.argsort(ids)
            at = by_id[np.minimum(np.searchsorted(ids, self.ids, sorter=by_id), len(ids) - 1)]
            there = ids[at] == self.ids
            place[there] = at[there]
        return place

    def of(self, ids: NDArray[np.int64]) -> "KeptGraph":
        """What is known of the things with these ids, some of which may be new, while some known ones are gone."""
        # The last place is for nobody, whom -1 finds.
        place = np.append(self.places(ids), np.int32(-1))
        known = np.flatnonzero(place[:-1] >= 0)
        former = self.graph.neighbours[known]
        neighbours, distances = place[former], self.graph.distances[known]
        lost = (former >= 0) & (neighbours < 0)
        gaps = np.argsort(neighbours < 0, axis=1, kind="stable")
        neighbours = np.take_along_axis(neighbours, gaps, axis=1)
        distances = np.take_along_axis(distances, gaps, axis=1)
        found = KeptGraph.nothing(ids, neighbour_count=former.shape[1])
        to = place[known]
        found.graph.neighbours[to] = neighbours
        found.graph.distances[to] = np.where(neighbours >= 0, distances, np.float32(np.inf))
        found.is_complete[to] = self.is_complete[known] & ~((former >= 0).all(axis=1) & lost.any(axis=1))
        found.is_new[to] = self.is_new[known]
        return found

    def arranged(self, order: NDArray[np.intp]) -> "KeptGraph":
        """The same in another order: place i has what place order[i] had."""
        place = np.full(len(order) + 1, -1, np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        return KeptGraph(
            ids=self.ids[order],
            graph=NeighbourGraph(neighbours=place[self.graph.neighbours[order]], distances=self.graph.distances[order]),
            is_complete=self.is_complete[order],
            is_new=self.is_new[order],
        )

    def search_count(self) -> int:
        """How many rows `renewed` compares with all."""
        return int(np.count_nonzero(~self.is_complete))

    def is_worthwhile(self) -> bool:
        """Whether so few rows are to be searched that this is quicker than comparing all with all."""
        return self.search_count() <= WORTHWHILE_SHARE * len(self.ids)

    def block_count(self) -> int:
        """How many blocks `renewed` compares."""
        return len(list(_blocks(self.search_count(), len(self.ids))))

    def neighbour_ids(self, rows: NDArray[np.integer] | slice) -> NDArray[np.int64]:
        """The ids of some rows' neighbours, [m, k]; -1 fills the places that have none."""
        ids: NDArray[np.int64] = np.append(self.ids, np.int64(-1))[self.graph.neighbours[rows]]
        return ids


def renewed(
    kept: KeptGraph,
    rows: NDArray[np.float32],
    photo_ids: NDArray[np.int64],
    *,
    metric: Metric,
    ceiling: float,
    on_block: Callable[[int], None],
) -> NeighbourGraph:
    """The graph of all rows: those whose neighbours are not all known are compared with all, and offered to all if new.

    Args:
        kept: what is known of the n rows, found under the same metric and ceiling.
        rows: float32 [n, d], prepared for the metric.
        photo_ids: int64 [n]; rows with the same one are no neighbours.
        metric: how two rows are compared.
        ceiling: largest distance of an edge, > 0, in the metric's unit.
        on_block: called before each of the `block_count` blocks with how many are done; may raise to stop the work.

    Returns:
        What `nearest_neighbours` would give, ties and rounding aside, if what is kept came from there.
    """
    lists = NearestLists.of_graph(kept.graph, metric=metric, ceiling=ceiling)
    incomplete = np.flatnonzero(~kept.is_complete)
    # What they had is found again, with the rest.
    lists.neighbours[incomplete] = -1
    lists.closeness[incomplete] = lists.floor
    for done, (part, columns) in enumerate(_blocks(len(incomplete), len(rows))):
        on_block(done)
        searched = incomplete[part]
        closeness = _closeness(rows[searched], rows[columns], metric)
        # One comparison with the lowest bar of all finds the few pairs that matter; the rest of the work is on those.
        flat = np.flatnonzero(closeness > min(lists.worst()[searched].min(), lists.worst()[columns].min()))
        found, others = np.divmod(flat, closeness.shape[1])
        found, others, values = searched[found], others + columns.start, closeness.ravel()[flat]
        apart = photo_ids[found] != photo_ids[others]
        _offer(lists, found[apart], others[apart], values[apart])
        # The others are told of those that are new to them.
        apart &= kept.is_new[found] & kept.is_complete[others]
        _offer(lists, others[apart], found[apart], values[apart])
    return lists.graph(metric)


def _offer(
    lists: NearestLists, owners: NDArray[np.intp], others: NDArray[np.intp], values: NDArray[np.float32]
) -> None:
    wanted = values > lists.worst()[owners]
    lists.offer(owners[wanted], others[wanted], values[wanted])


def _blocks(row_count: int, column_count: int) -> Iterator[tuple[slice, slice]]:
    columns = min(max(-(-column_count // _COLUMN_BLOCKS), _LEAST_COLUMNS), BLOCK_ROWS)
    for row in range(0, row_count, BLOCK_ROWS):
        for column in range(0, column_count, columns):
            yield slice(row, row + BLOCK_ROWS), slice(column, min(column + columns, column_count))


def _closeness(left: NDArray[np.float32], right: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    closeness: NDArray[np.float32] = left @ right.T
    closeness -= metric.half_squares(left)[:, None]
    closeness -= metric.half_squares(right)[None, :]
    return closeness
