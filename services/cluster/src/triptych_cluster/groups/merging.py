"""Merges groups whose centroids agree, nearest first: one person whom the neighbour graph has left in pieces."""

import heapq
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.groups.together import may_be_one_person
from triptych_cluster.neighbours.exact import NeighbourGraph, nearest_neighbours
from triptych_cluster.parameters import Metric, Parameters
from triptych_cluster.sums import group_sums

Compare = Callable[[NDArray[np.float32], Callable[[int], None]], NeighbourGraph]
"""Finds each centroid's nearest others within `merge_distance`, telling before each block how many are done."""


def merge_agreeing_groups(
    labels: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    photo_ids: NDArray[np.int64],
    parameters: Parameters,
    *,
    on_block: Callable[[int], None],
    compare: Compare | None = None,
) -> NDArray[np.int64]:
    """Merge the two groups with the nearest centroids, again and again, until none are nearer than `merge_distance`.

    Groups that share too many photos are never merged. Each group is first compared with its `neighbour_count` nearest,
    and a merged one with all.

    Args:
        labels: int64 [n], dense group numbers 0..g-1, -1 for none.
        embeddings: float32 [n, d], prepared for the metric.
        photo_ids: int64 [n], photo of each face.
        parameters: of the faces' model.
        on_block: called before each pair of blocks of centroids, `block_pair_count(g)` in all, and before each
            merge, with how many blocks are done; may raise to stop the work.
        compare: finds the nearest centroids, for a caller who knows most of them; None to compare all.

    Returns:
        int64 [n], new labels, not dense.
    """
    groups = _Groups(labels, embeddings, photo_ids, parameters)
    done = 0

    def count(blocks_done: int) -> None:
        nonlocal done
        done = blocks_done
        on_block(done)

    groups.compare_all(count, compare or _comparison(parameters))
    while groups.merge_nearest():
        on_block(done)
    return groups.relabel(labels)


def _comparison(parameters: Parameters) -> Compare:
    def compare(centroids: NDArray[np.float32], on_block: Callable[[int], None]) -> NeighbourGraph:
        return nearest_neighbours(
            centroids,
            np.arange(len(centroids)),
            metric=parameters.metric,
            neighbour_count=parameters.neighbour_count,
            ceiling=parameters.merge_distance,
            on_block=on_block,
        )

    return compare


class _Groups:
    """Groups with their centroids and photos; a merged pair becomes a group with a number of its own."""

    def __init__(
        self,
        labels: NDArray[np.int64],
        embeddings: NDArray[np.float32],
        photo_ids: NDArray[np.int64],
        parameters: Parameters,
    ) -> None:
        self._parameters = parameters
        sums, counts = group_sums(labels, embeddings)
        count = len(counts)
        # Each merge makes one group of two, so there are never more than twice as many.
        self._sums = np.concatenate([sums, np.zeros_like(sums)])
        self._counts = np.concatenate([counts, np.ones_like(counts)])
        self._centroids = np.zeros_like(self._sums)
        self._half_squares = np.zeros(2 * count, np.float32)
        self._alive = np.zeros(2 * count, bool)
        self._photos: list[set[int]] = [set() for _ in range(count)]
        for group, photo in zip(labels.tolist(), photo_ids.tolist(), strict=True):
            if group >= 0:
                self._photos[group].add(photo)
        self._becomes = np.arange(2 * count)
        self._candidates: list[tuple[float, int, int]] = []
        self._place(slice(0, count))

    def compare_all(self, on_block: Callable[[int], None], compare: Compare) -> None:
        """Find the candidates among the groups there are."""
        graph = compare(self._centroids[: len(self._photos)], on_block)
        rows, slots = np.nonzero(graph.neighbours >= 0)
        self._offer(rows, graph.neighbours[rows, slots], graph.distances[rows, slots])

    def merge_nearest(self) -> bool:
        """Merge the nearest two groups that may be one person's; False if there are none."""
        while self._candidates:
            _, first, second = heapq.heappop(self._candidates)
            if not (self._alive[first] and self._alive[second]):
                continue
            if may_be_one_person(self._photos[first], self._photos[second], self._parameters):
                self._merge(first, second)
                return True
        return False

    def relabel(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The groups that the labelled ones have become."""
        # A merged group has a higher number than its parts, so the last is resolved before the first that leads to it.
        for group in range(len(self._photos) - 1, -1, -1):
            self._becomes[group] = self._becomes[self._becomes[group]]
        return np.where(labels >= 0, self._becomes[labels] if len(self._becomes) else -1, -1)

    @property
    def _metric(self) -> Metric:
        return self._parameters.metric

    def _place(self, groups: slice) -> None:
        """Give groups their centroids and bring them to life."""
        self._centroids[groups] = self._metric.centroids(self._sums[groups], self._counts[groups])
        self._half_squares[groups] = self._metric.half_squares(self._centroids[groups])
        self._alive[groups] = True

    def _merge(self, first: int, second: int) -> None:
        merged = len(self._photos)
        self._sums[merged] = self._sums[first] + self._sums[second]
        self._counts[merged] = self._counts[first] + self._counts[second]
        self._photos.append(self._photos[first] | self._photos[second])
        self._becomes[[first, second]] = merged
        self._alive[[first, second]] = False
        self._place(slice(merged, merged + 1))
        closeness = self._centroids[:merged] @ self._centroids[merged]
        closeness -= self._half_squares[:merged]
        closeness -= self._half_squares[merged]
        distances = self._metric.distance(closeness)
        near = np.flatnonzero(self._alive[:merged] & (distances <= self._parameters.merge_distance))
        self._offer(near, np.full(len(near), merged), distances[near])

    def _offer(self, first: NDArray[np.intp], second: NDArray[np.integer], distances: NDArray[np.float32]) -> None:
        for near, low, high in zip(
            distances.tolist(), np.minimum(first, second).tolist(), np.maximum(first, second).tolist(), strict=True
        ):
            heapq.heappush(self._candidates, (near, low, high))
