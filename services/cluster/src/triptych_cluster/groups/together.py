"""Two faces in one photo are two people: takes groups apart that hold both, and lets the weaker of a pair go."""

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.neighbours.exact import NeighbourGraph
from triptych_cluster.parameters import Parameters


def may_be_one_person(first_photos: set[int], second_photos: set[int], parameters: Parameters) -> bool:
    """Whether two groups of faces in these photos share so few that they can be one person's.

    See `Parameters.shared_photo_tolerance`.
    """
    smaller, larger = sorted((first_photos, second_photos), key=len)
    allowed = int(parameters.shared_photo_tolerance * len(smaller))
    return len(smaller & larger) <= allowed


def split_where_together(
    labels: NDArray[np.int64], graph: NeighbourGraph, photo_ids: NDArray[np.int64], parameters: Parameters
) -> NDArray[np.int64]:
    """Take apart each group that has several faces of one photo, along its longest edges.

    Such a group is joined anew, nearest pairs first, and what would bring together people who share photos is left
    apart (single linkage with constraints that forbid links).

    Args:
        labels: int64 [n], group of each face, -1 for none.
        graph: nearest faces below the ceiling; the faces of a group are connected in it.
        photo_ids: int64 [n], photo of each face.
        parameters: of the faces' model.

    Returns:
        int64 [n], new labels; pieces too small for a group are -1. The other groups are as they were, with new numbers.
    """
    result = labels.copy()
    next_label = int(labels.max(initial=-1)) + 1
    conflicted = np.isin(labels, _labels_with_repeats(labels, photo_ids))
    members = np.flatnonzero(conflicted)
    if not len(members):
        return result
    sets = _PhotoSets(members, photo_ids)
    for first, second in _edges_within_groups(labels, graph, members):
        sets.join(first, second, parameters)
    result[members] = -1
    for piece in sets.pieces():
        # A piece keeps one face of each photo, whatever it tolerates until the weaker ones leave.
        if len(np.unique(photo_ids[piece])) >= parameters.min_cluster_size:
            result[piece] = next_label
            next_label += 1
    return result


def repeated_in_photos(labels: NDArray[np.int64], photo_ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """The faces, ascending, of whose group another one is in their photo.

    Args:
        labels: int64 [n], group of each face, -1 for none.
        photo_ids: int64 [n], photo of each face.
    """
    members = np.flatnonzero(labels >= 0)
    order = members[np.lexsort((photo_ids[members], labels[members]))]
    repeats = (labels[order][1:] == labels[order][:-1]) & (photo_ids[order][1:] == photo_ids[order][:-1])
    repeated = np.zeros(len(labels), bool)
    repeated[order[1:][repeats]] = repeated[order[:-1][repeats]] = True
    return np.flatnonzero(repeated)


def weaker_of_each_photo(
    labels: NDArray[np.int64],
    photo_ids: NDArray[np.int64],
    *,
    closeness: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> NDArray[np.intp]:
    """The faces that must leave their groups so that no group has two faces of one photo.

    The face nearest its group's centroid stays; of equally near ones that with the higher detection score, then the
    first.

    Args:
        labels: int64 [n], group of each face, -1 for none.
        photo_ids: int64 [n], photo of each face.
        closeness: float32 [n], of each face to the centroid of its group; larger is nearer. Only those of the
            `repeated_in_photos` are looked at.
        scores: float32 [n], detection scores; larger is better.
    """
    members = np.flatnonzero(labels >= 0)
    order = members[np.lexsort((-scores[members], -closeness[members], photo_ids[members], labels[members]))]
    repeats = (labels[order][1:] == labels[order][:-1]) & (photo_ids[order][1:] == photo_ids[order][:-1])
    return np.sort(order[1:][repeats])


def _labels_with_repeats(labels: NDArray[np.int64], photo_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels of the groups with several faces of one photo."""
    members = np.flatnonzero(labels >= 0)
    pairs, counts = np.unique(np.column_stack([labels[members], photo_ids[members]]), axis=0, return_counts=True)
    return np.unique(pairs[counts > 1, 0])


def _edges_within_groups(
    labels: NDArray[np.int64], graph: NeighbourGraph, members: NDArray[np.intp]
) -> list[tuple[int, int]]:
    """The members' edges to faces of their own group, shortest first."""
    slots = graph.neighbours[members]
    rows, columns = np.nonzero((slots >= 0) & (labels[slots] == labels[members, None]))
    first, second = members[rows], slots[rows, columns].astype(np.intp)
    low, high = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort((high, low, graph.distances[first, columns]))
    return list(zip(low[order].tolist(), high[order].tolist(), strict=True))


class _PhotoSets:
    """Disjoint sets of faces that know their photos."""

    def __init__(self, faces: NDArray[np.intp], photo_ids: NDArray[np.int64]) -> None:
        self._parent = {face: face for face in faces.tolist()}
        self._faces = {face: [face] for face in self._parent}
        self._photos = {face: {int(photo_ids[face])} for face in self._parent}

    def join(self, first: int, second: int, parameters: Parameters) -> None:
        """Unite the sets of two faces if they may be one person."""
        larger, smaller = self._root(first), self._root(second)
        if larger == smaller or not may_be_one_person(self._photos[larger], self._photos[smaller], parameters):
            return
        if len(self._faces[larger]) < len(self._faces[smaller]):
            larger, smaller = smaller, larger
        self._parent[smaller] = larger
        self._faces[larger] += self._faces.pop(smaller)
        self._photos[larger] |= self._photos.pop(smaller)

    def pieces(self) -> list[list[int]]:
        """The faces of each set, sets in the order of their first faces."""
        return sorted((sorted(faces) for faces in self._faces.values()), key=lambda faces: faces[0])

    def _root(self, face: int) -> int:
        while self._parent[face] != face:
            self._parent[face] = face = self._parent[self._parent[face]]
        return face
