"""The kept state as messages, and back: read batch by batch as it comes, written as what has changed."""

from collections.abc import Iterator
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import clusterer_pb2
from triptych_cluster.kept.changes import KeptChanges, first_marks
from triptych_cluster.kept.graph import KeptGraph
from triptych_cluster.kept.state import NOTHING, KeptFaces
from triptych_cluster.neighbours.exact import NeighbourGraph
from triptych_common.errors import InvalidRequestError

ROWS_PER_MESSAGE: Final = 4000
"""Faces or groups in one message: of 16 neighbours each, 0.9 MB."""

Number = TypeVar("Number", bound=np.generic)


class _ReadLists:
    """Lists of neighbours as they come, by ids."""

    def __init__(self, announced: int, *, neighbour_count: int) -> None:
        self._announced = announced
        self._neighbour_count = neighbour_count
        self._ids: list[NDArray[np.int64]] = []
        self._counts: list[NDArray[np.uint32]] = []
        self._neighbours: list[NDArray[np.int64]] = []
        self._distances: list[NDArray[np.float32]] = []
        self._read = 0

    def add(self, lists: clusterer_pb2.NeighbourLists) -> int:
        """Take some; returns how many. Raises InvalidRequestError (BAD_KEPT)."""
        counts = np.array(lists.counts, np.uint32)
        edges = int(counts.sum())
        self._read += len(lists.ids)
        if (
            len(lists.ids) != len(counts)
            or counts.max(initial=0) > self._neighbour_count
            or len(lists.neighbour_ids) != 8 * edges
            or len(lists.distances) != 4 * edges
        ):
            raise _bad(f"lists of {len(lists.ids)} ids do not fit their counts")
        if self._read > self._announced:
            raise _bad(f"more came than the {self._announced} that the header announces")
        self._ids.append(np.array(lists.ids, np.int64))
        self._counts.append(counts)
        self._neighbours.append(np.frombuffer(lists.neighbour_ids, "<i8"))
        self._distances.append(np.frombuffer(lists.distances, "<f4"))
        return len(lists.ids)

    def graph(self) -> KeptGraph:
        """The graph of all that came; neighbours of which nothing came are in it as new. Raises as `add` does."""
        ids, counts = _joined(self._ids, np.int64), _joined(self._counts, np.uint32)
        neighbours, distances = _joined(self._neighbours, np.int64), _joined(self._distances, np.float32)
        if len(np.unique(ids)) != len(ids):
            raise _bad("something came twice")
        if not (np.isfinite(distances) & (distances >= 0)).all():
            raise _bad("a distance is negative or not finite")
        strangers = np.setdiff1d(neighbours, ids)
        kept = KeptGraph.nothing(np.concatenate([ids, strangers]), neighbour_count=self._neighbour_count)
        rows = np.repeat(np.arange(len(ids)), counts)
        starts = np.cumsum(counts, dtype=np.int64) - counts
        slots = np.arange(len(rows)) - np.repeat(starts, counts)
        by_id = np.argsort(kept.ids)
        kept.graph.neighbours[rows, slots] = by_id[np.searchsorted(kept.ids, neighbours, sorter=by_id)]
        kept.graph.distances[rows, slots] = distances
        kept.is_complete[: len(ids)] = True
        kept.is_new[: len(ids)] = False
        return kept


class ReadKept:
    """What a former call gave to be kept, as it comes back."""

    def __init__(self, header: clusterer_pb2.KeptHeader, *, neighbour_count: int) -> None:
        self._faces = _ReadLists(header.face_count, neighbour_count=neighbour_count)
        self._groups = _ReadLists(header.group_count, neighbour_count=neighbour_count)
        self._components: list[NDArray[np.int64]] = []
        self._marks: list[NDArray[np.int64]] = []
        self._first_in_group: list[NDArray[np.int64]] = []
        self._probabilities: list[NDArray[np.float32]] = []

    def add_faces(self, batch: clusterer_pb2.KeptFaceBatch) -> None:
        """Take what is kept of some faces. Raises InvalidRequestError (BAD_KEPT)."""
        count = self._faces.add(batch.neighbours)
        if not len(batch.components) == len(batch.component_marks) == len(batch.groups) == count:
            raise _bad(f"a batch of {count} faces has lists of other lengths")
        if len(batch.probabilities) != count:
            raise _bad(f"a batch of {count} faces has {len(batch.probabilities)} probabilities")
        self._components.append(np.array(batch.components, np.int64))
        self._marks.append(np.array(batch.component_marks, np.int64))
        self._first_in_group.append(np.array(batch.groups, np.int64))
        self._probabilities.append(np.array(batch.probabilities, np.float32))

    def add_groups(self, batch: clusterer_pb2.KeptGroupBatch) -> None:
        """Take what is kept of some groups. Raises InvalidRequestError (BAD_KEPT)."""
        self._groups.add(batch.neighbours)

    def state(self) -> KeptFaces:
        """All that came. Raises InvalidRequestError (BAD_KEPT)."""
        faces = self._faces.graph()
        components, marks = _joined(self._components, np.int64), _joined(self._marks, np.int64).view(np.uint64)
        count, known = len(faces.ids), len(components)
        found = KeptFaces.nothing(faces.ids, neighbour_count=faces.graph.neighbours.shape[1])
        found.components[:known] = components
        found.groups[:known] = _joined(self._first_in_group, np.int64)
        found.probabilities[:known] = _joined(self._probabilities, np.float32)
        # A component whose first face is gone has no mark any more.
        by_id = np.argsort(faces.ids)
        first = by_id[np.minimum(np.searchsorted(faces.ids, components, sorter=by_id), max(count - 1, 0))]
        there = (first < known) & (faces.ids[first] == components)
        found.marks[:known][there] = marks[first[there]]
        found.marks[:known][~there] = NOTHING
        return KeptFaces(
            faces=faces,
            groups=found.groups,
            probabilities=found.probabilities,
            components=found.components,
            marks=found.marks,
            near_groups=self._groups.graph(),
        )


def kept_messages(changes: KeptChanges) -> Iterator[clusterer_pb2.ClusterFacesResponse]:
    """What changed, in messages."""
    kept = changes.latest
    marks = first_marks(kept).view(np.int64)
    for rows in _parts(changes.face_rows):
        yield clusterer_pb2.ClusterFacesResponse(
            kept_faces=clusterer_pb2.KeptFaceBatch(
                neighbours=_lists(kept.faces, rows),
                components=kept.components[rows].tolist(),
                component_marks=marks[rows].tolist(),
                groups=kept.groups[rows].tolist(),
                probabilities=kept.probabilities[rows].tolist(),
            )
        )
    for rows in _parts(changes.group_rows):
        yield clusterer_pb2.ClusterFacesResponse(
            kept_groups=clusterer_pb2.KeptGroupBatch(neighbours=_lists(kept.near_groups, rows))
        )
    for gone in _parts(changes.gone_faces):
        yield clusterer_pb2.ClusterFacesResponse(gone=clusterer_pb2.GoneBatch(face_ids=gone.tolist()))
    for gone in _parts(changes.gone_groups):
        yield clusterer_pb2.ClusterFacesResponse(gone=clusterer_pb2.GoneBatch(group_marks=gone.tolist()))


def _lists(kept: KeptGraph, rows: NDArray[np.intp]) -> clusterer_pb2.NeighbourLists:
    part = NeighbourGraph(neighbours=kept.graph.neighbours[rows], distances=kept.graph.distances[rows])
    linked = part.neighbours >= 0
    return clusterer_pb2.NeighbourLists(
        ids=kept.ids[rows].tolist(),
        counts=np.count_nonzero(linked, axis=1).tolist(),
        neighbour_ids=kept.ids[part.neighbours[linked]].astype("<i8").tobytes(),
        distances=part.distances[linked].astype("<f4").tobytes(),
    )


def _parts(values: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    for start in range(0, len(values), ROWS_PER_MESSAGE):
        yield values[start : start + ROWS_PER_MESSAGE]


def _joined(parts: list[NDArray[Number]], kind: type[Number]) -> NDArray[Number]:
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def _bad(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"What was kept cannot be read: {why}.", reason="BAD_KEPT")
