"""What of the kept state is to be written after a run: what is not there yet, or is no longer as it was."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.kept.graph import KeptGraph
from triptych_cluster.kept.state import KeptFaces
from triptych_cluster.neighbours.arrangement import chunks

SAME = 1e-5
"""Distances and probabilities that differ by no more are the same: rounding alone is not written."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptChanges:
    """The way from what was kept to what is to be kept.

    Attributes:
        latest: what is to be kept.
        face_rows: intp [f], the places of the faces in it that are new or differ.
        group_rows: intp [g], likewise of groups in `latest.near_groups`.
        gone_faces: int64 [a], ids of the faces that are no longer kept.
        gone_groups: int64 [b], marks of the groups that are no longer kept.
    """

    latest: KeptFaces
    face_rows: NDArray[np.intp]
    group_rows: NDArray[np.intp]
    gone_faces: NDArray[np.int64]
    gone_groups: NDArray[np.int64]


def all_of(latest: KeptFaces) -> KeptChanges:
    """Everything, where nothing was kept or all of it is thrown away."""
    nothing = np.zeros(0, np.int64)
    return KeptChanges(
        latest=latest,
        face_rows=np.arange(len(latest.faces.ids)),
        group_rows=np.arange(len(latest.near_groups.ids)),
        gone_faces=nothing,
        gone_groups=nothing,
    )


def changes(former: KeptFaces, latest: KeptFaces) -> KeptChanges:
    """What is new, different or gone."""
    place = latest.faces.places(former.faces.ids)
    differs = _differs(former.faces, latest.faces, place)
    for name in ("groups", "components"):
        differs |= getattr(latest, name) != getattr(former, name)[place]
    differs |= first_marks(latest) != first_marks(former)[place]
    differs |= np.abs(latest.probabilities - former.probabilities[place]) > SAME
    groups, former_groups = latest.near_groups, former.near_groups
    return KeptChanges(
        latest=latest,
        face_rows=np.flatnonzero(differs | (place < 0)),
        group_rows=np.flatnonzero(_differs(former_groups, groups, groups.places(former_groups.ids))),
        gone_faces=np.setdiff1d(former.faces.ids, latest.faces.ids),
        gone_groups=np.setdiff1d(former_groups.ids, groups.ids),
    )


def first_marks(kept: KeptFaces) -> NDArray[np.uint64]:
    """The mark of each component at its first face, [n], and 0 at the others.

    So where a component of many faces gains one, one row has another mark, not all of them.
    """
    return np.where(kept.faces.ids == kept.components, kept.marks, np.uint64(0))


def _differs(former: KeptGraph, latest: KeptGraph, place: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which rows [n] of the latest graph are not, neighbour for neighbour, rows ``place`` of the former."""
    differs = place < 0
    if not len(former.ids):
        return differs
    for part in chunks(len(place)):
        rows = place[part]
        same = np.isclose(latest.graph.distances[part], former.graph.distances[rows], rtol=0, atol=SAME)
        same &= latest.neighbour_ids(part) == former.neighbour_ids(rows)
        differs[part] |= ~same.all(axis=1) | former.is_new[rows]
    return differs
