"""Whether faces are grouped from what was kept of them, or anew: whichever is right, and quicker."""

from dataclasses import dataclass

from numpy import int64
from numpy.typing import NDArray

from triptych_cluster.kept.incremental import most_searched
from triptych_cluster.kept.state import KeptFaces


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """How faces are to be grouped.

    Attributes:
        known: what is known of them, to be grouped by; None where all are to be grouped anew.
        reason: why anew, for people to read; empty where not.
    """

    known: KeptFaces | None
    reason: str


def choose(former: KeptFaces | None, face_ids: NDArray[int64]) -> Choice:
    """The choice for these faces, [n], given what was kept under the same version, if anything."""
    if former is None or not len(former.faces.ids):
        return Choice(known=None, reason="nothing was kept")
    known = former.of(face_ids)
    searched, most = known.faces.search_count(), most_searched(len(face_ids))
    if searched > most:
        return Choice(
            known=None,
            reason=f"{searched:,} of {len(face_ids):,} faces are new or lost a neighbour, more than {most:,}",
        )
    return Choice(known=known, reason="")
