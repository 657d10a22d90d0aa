"""What one grouping leaves for the next: each face's near neighbours, its group before the merge, and its component."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.neighbours import NeighbourGraph

NOTHING = 0
"""The mark of a face of which nothing is known."""


@dataclass(frozen=True, kw_only=True)
class KeptFaces:
    """What is known of n faces that are to be grouped.

    Attributes:
        face_ids: int64 [n], ≥ 0, by which the caller knows them from one run to the next.
        graph: their nearest neighbours below the ceiling as they were found, by their places in these arrays.
        is_complete: bool [n], whether the neighbours are all there are to find among the faces that are not new. Not of
            a face that is new or that had as many as are kept and lost one.
        is_new: bool [n], of which nothing is known.
        groups: int64 [n], the smallest id of a face in its group before groups were merged; -1 where in none.
        probabilities: float32 [n], 0..1, how firmly it belongs there.
        marks: uint64 [n], by which its component was known: a component with the same mark has the same faces and
            edges.
    """

    face_ids: NDArray[np.int64]
    graph: NeighbourGraph
    is_complete: NDArray[np.bool_]
    is_new: NDArray[np.bool_]
    groups: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    marks: NDArray[np.uint64]

    @classmethod
    def nothing(cls, face_ids: NDArray[np.int64], *, neighbour_count: int) -> "KeptFaces":
        """Faces that are all new."""
        count = len(face_ids)
        return cls(
            face_ids=face_ids,
            graph=NeighbourGraph(
                neighbours=np.full((count, neighbour_count), -1, np.int32),
                distances=np.full((count, neighbour_count), np.inf, np.float32),
            ),
            is_complete=np.zeros(count, bool),
            is_new=np.ones(count, bool),
            groups=np.full(count, -1, np.int64),
            probabilities=np.zeros(count, np.float32),
            marks=np.full(count, NOTHING, np.uint64),
        )

    def of(self, face_ids: NDArray[np.int64]) -> "KeptFaces":
        """What is known of the faces with these ids, some of which may be new, while some known ones are gone."""
        count = self.graph.neighbours.shape[1]
        by_id = np.argsort(face_ids)
        # Where each known face is among the asked ones; the last place is for nobody, whom -1 finds.
        place = np.full(len(self.face_ids) + 1, -1, np.int32)
        at = np.minimum(np.searchsorted(face_ids, self.face_ids, sorter=by_id), max(len(face_ids) - 1, 0))
        if len(face_ids):
            there = face_ids[by_id[at]] == self.face_ids
            place[:-1][there] = by_id[at[there]]
        known = np.flatnonzero(place[:-1] >= 0)
        to = place[known]
        neighbours, distances = place[self.graph.neighbours[known]], self.graph.distances[known]
        lost = (self.graph.neighbours[known] >= 0) & (neighbours < 0)
        was_full = (self.graph.neighbours[known] >= 0).all(axis=1)
        gaps = np.argsort(neighbours < 0, axis=1, kind="stable")
        neighbours = np.take_along_axis(neighbours, gaps, axis=1)
        distances = np.where(neighbours >= 0, np.take_along_axis(distances, gaps, axis=1), np.float32(np.inf))
        found = KeptFaces.nothing(face_ids, neighbour_count=count)
        found.graph.neighbours[to], found.graph.distances[to] = neighbours, distances
        found.is_complete[to] = self.is_complete[known] & ~(was_full & lost.any(axis=1))
        found.is_new[to] = self.is_new[known]
        for name in ("groups", "probabilities", "marks"):
            getattr(found, name)[to] = getattr(self, name)[known]
        return found

    def arranged(self, order: NDArray[np.intp]) -> "KeptFaces":
        """The same in another order: place i has what place order[i] had."""
        place = np.full(len(order) + 1, -1, np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        rest = {one.name: getattr(self, one.name)[order] for one in fields(self) if one.name != "graph"}
        graph = NeighbourGraph(neighbours=place[self.graph.neighbours[order]], distances=self.graph.distances[order])
        return replace(self, graph=graph, **rest)


def component_marks(
    graph: NeighbourGraph, component: NDArray[np.integer], face_ids: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """A mark of each face's component, [n]: a hash of its faces' ids and of whom each has as which neighbour.

    It does not depend on the order of the faces. Two different components share theirs once in 2⁶⁴.
    """
    ids = np.append(_mixed(face_ids.astype(np.uint64)), np.uint64(0))
    of_face = ids[:-1].copy()
    for rank in range(graph.neighbours.shape[1]):
        of_face = _mixed(of_face + ids[graph.neighbours[:, rank]])
    sums = np.zeros(int(component.max(initial=-1)) + 1, np.uint64)
    np.add.at(sums, component, of_face)
    sums[sums == NOTHING] = 1
    marks: NDArray[np.uint64] = sums[component]
    return marks


def first_members(labels: NDArray[np.int64], face_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest face id of each face's group, [n]; -1 for faces in none."""
    members = np.flatnonzero(labels >= 0)
    first = np.full(int(labels.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, labels[members], face_ids[members])
    named = np.full(len(labels), -1, np.int64)
    named[members] = first[labels[members]]
    return named


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Values spread over 64 bits, one to one.

    G. Steele, D. Lea, C. Flood: Fast Splittable Pseudorandom Number Generators (2014), with D. Stafford's constants.
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
