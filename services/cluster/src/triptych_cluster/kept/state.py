"""What one grouping leaves for the next: the graph of faces, their groups before the merge, and which are near."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.kept.graph import KeptGraph
from triptych_cluster.neighbours.exact import NeighbourGraph

NOTHING = 0
"""The mark of a face of which nothing is known."""


@dataclass(frozen=True, kw_only=True)
class KeptFaces:
    """What is known of n faces that are to be grouped.

    Attributes:
        faces: their graph, by the ids by which the caller knows them.
        groups: int64 [n], the smallest id of a face in its group before groups were merged; -1 where in none.
        probabilities: float32 [n], 0..1, how firmly it belongs there.
        components: int64 [n], the smallest id of a face in its component; -1 where nothing is known of it.
        marks: uint64 [n], by which its component was known: a component with the same mark has the same faces and
            edges.
        near_groups: the graph of those groups' centroids, by `group_marks`: a group with the same one has the same
            faces. Of groups that are gone it tells nothing.
    """

    faces: KeptGraph
    groups: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    components: NDArray[np.int64]
    marks: NDArray[np.uint64]
    near_groups: KeptGraph

    @classmethod
    def nothing(cls, face_ids: NDArray[np.int64], *, neighbour_count: int) -> "KeptFaces":
        """Faces that are all new."""
        count = len(face_ids)
        return cls(
            faces=KeptGraph.nothing(face_ids, neighbour_count=neighbour_count),
            groups=np.full(count, -1, np.int64),
            probabilities=np.zeros(count, np.float32),
            components=np.full(count, -1, np.int64),
            marks=np.full(count, NOTHING, np.uint64),
            near_groups=KeptGraph.nothing(np.zeros(0, np.int64), neighbour_count=neighbour_count),
        )

    def of(self, face_ids: NDArray[np.int64]) -> "KeptFaces":
        """What is known of the faces with these ids, some of which may be new, while some known ones are gone."""
        place = self.faces.places(face_ids)
        known = np.flatnonzero(place >= 0)
        found = KeptFaces.nothing(face_ids, neighbour_count=self.faces.graph.neighbours.shape[1])
        for name in ("groups", "probabilities", "components", "marks"):
            getattr(found, name)[place[known]] = getattr(self, name)[known]
        return KeptFaces(
            faces=self.faces.of(face_ids),
            groups=found.groups,
            probabilities=found.probabilities,
            components=found.components,
            marks=found.marks,
            near_groups=self.near_groups,
        )

    def arranged(self, order: NDArray[np.intp]) -> "KeptFaces":
        """The same in another order: place i has what place order[i] had."""
        return KeptFaces(
            faces=self.faces.arranged(order),
            groups=self.groups[order],
            probabilities=self.probabilities[order],
            components=self.components[order],
            marks=self.marks[order],
            near_groups=self.near_groups,
        )


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


def group_marks(labels: NDArray[np.int64], face_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """A mark ≥ 0 of each group, [g], for dense labels: a hash of its faces' ids."""
    members = np.flatnonzero(labels >= 0)
    sums = np.zeros(int(labels.max(initial=-1)) + 1, np.uint64)
    np.add.at(sums, labels[members], _mixed(face_ids[members].astype(np.uint64)))
    return (_mixed(sums) >> np.uint64(1)).astype(np.int64)


def first_members(labels: NDArray[np.integer], face_ids: NDArray[np.int64]) -> NDArray[np.int64]:
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
