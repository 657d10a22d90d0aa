"""What became of persons in a new clustering: who was split, who was merged into whom, and who is in no group now."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from triptych_gateway.catalog.clustering.person_matching import Overlap

LEAST_FACES: Final = 2
"""Faces of a person in another's group that are worth telling of: one alone is a stray."""

ChangeKind = Literal["split", "merged", "ungrouped"]


@dataclass(frozen=True, kw_only=True)
class PersonChange:
    """That a person is not the same faces any more.

    - ``split``: some of the person's faces are in a group that is somebody else; the person keeps the others.
    - ``merged``: the person's groups are all somebody else's now, that group's most.
    - ``ungrouped``: none of the person's faces is in a group.
    """

    kind: ChangeKind
    person_id: int
    group: int | None
    """Index of the group that they are in now; None where they are in none."""
    faces: int
    """How many of the person's former groups' faces are there; 0 where they are in no group."""


def person_changes(
    overlaps: Sequence[Overlap], persons: Mapping[int, int], *, former: Collection[int]
) -> list[PersonChange]:
    """What became of each of the persons who had groups (``former``), now that groups are those ``persons``.

    By person, the larger part first. Whatever a name was on is told of here, so that none goes unnoticed.
    """
    groups_of: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for one in overlaps:
        if one.strand is not None:
            groups_of[one.person_id][one.group] += one.faces
    kept = set(persons.values())
    changes = []
    for person_id in sorted({*former, *groups_of}):
        parts = sorted(groups_of[person_id].items(), key=lambda part: (-part[1], part[0]))
        if not parts and person_id not in kept:
            changes.append(PersonChange(kind="ungrouped", person_id=person_id, group=None, faces=0))
        elif person_id not in kept:
            group, faces = parts[0]
            changes.append(PersonChange(kind="merged", person_id=person_id, group=group, faces=faces))
        else:
            changes += [
                PersonChange(kind="split", person_id=person_id, group=group, faces=faces)
                for group, faces in parts
                if faces >= LEAST_FACES and persons.get(group) != person_id
            ]
    return changes
