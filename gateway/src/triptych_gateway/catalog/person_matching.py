"""Who the groups of a new clustering are: matching them to the persons that faces were shown as before."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NAMED_SHARE: Final = 0.1
"""A named person comes before unnamed ones in a group where at least this share of the faces that somebody was known as
were that person's. Below it, a stray face would put the name on strangers."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Faces that a new group has in common with a strand: a person's faces of one former group.

    A person who was merged out of several groups has as many strands, and so keeps all of those groups.
    """

    group: int
    """Index of the new group."""
    person_id: int
    strand: int | None
    """The person's former group; None for faces that somebody put there by hand, which are no group's."""
    faces: int
    is_named: bool


def match_groups(overlaps: Sequence[Overlap]) -> dict[int, int]:
    """The persons of new groups by their index; a group that is left out is a new person.

    Greedy: named persons before others, then the largest overlap first, then the older person and the earlier group. A
    strand goes to one group at most: of a group that fell apart, the largest part is the person. A group without any
    strand is the person as whom most of its faces were put there by hand.
    """
    known: dict[int, int] = defaultdict(int)
    for one in overlaps:
        known[one.group] += one.faces
    persons: dict[int, int] = {}
    taken: set[tuple[int, int]] = set()

    def rank(one: Overlap) -> tuple[bool, bool, int, int, int]:
        leads = one.is_named and one.faces >= NAMED_SHARE * known[one.group]
        return one.strand is None, not leads, -one.faces, one.person_id, one.group

    for one in sorted(overlaps, key=rank):
        if one.group in persons:
            continue
        if one.strand is not None:
            if (one.person_id, one.strand) in taken:
                continue
            taken.add((one.person_id, one.strand))
        persons[one.group] = one.person_id
    return persons
