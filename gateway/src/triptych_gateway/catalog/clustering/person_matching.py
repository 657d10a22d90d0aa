"""Who the groups of a new clustering are: matching them to the persons that faces were shown as before."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from triptych_gateway.catalog.clustering.assignment import assign

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
    said: int = 0
    """How many of the faces somebody said are this person."""


def match_groups(overlaps: Sequence[Overlap]) -> dict[int, int]:
    """The persons of new groups by their index; a group that is left out is a new person.

    A strand goes to one group at most and a group to one strand, so that as many faces as can be stay who they were:
    first of named persons in groups of which they have `NAMED_SHARE`, then of all. Of equal choices the older person
    and the earlier group. A group that gets no strand is the person of whom somebody said so of a face in it, if nobody
    else has more faces there.
    """
    faces = _faces_by_person(overlaps)
    weights = _weights(overlaps, faces)
    strands = {strand: row for row, strand in enumerate(sorted({strand for strand, _ in weights}))}
    columns = assign({(strands[strand], group): weight for (strand, group), weight in weights.items()})
    persons = {columns[row]: person_id for (person_id, _), row in strands.items() if row in columns}
    return {**_said_persons(overlaps, faces), **persons}


def _faces_by_person(overlaps: Sequence[Overlap]) -> dict[int, Counter[int]]:
    """For each group, how many of its faces each person had."""
    faces: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for one in overlaps:
        faces[one.group][one.person_id] += one.faces
    return faces


def _weights(overlaps: Sequence[Overlap], faces: Mapping[int, Counter[int]]) -> dict[tuple[tuple[int, int], int], int]:
    """What it is worth that a strand (person, former group) goes to a group: the person's faces there, by any strand.

    Three orders in one number: faces of named persons who lead, then faces, then age, each larger than all that the
    next can add up to.
    """
    of_groups: Counter[tuple[int, int]] = Counter()
    for one in overlaps:
        if one.strand is not None:
            of_groups[one.person_id, one.group] += one.faces
    known = {group: counts.total() for group, counts in faces.items()}
    ages = {one: rank for rank, one in enumerate(sorted({one.person_id for one in overlaps}, reverse=True), 1)}
    places = {one: rank for rank, one in enumerate(sorted(known, reverse=True), 1)}
    a_face = (len(ages) * len(places) + len(places)) * len(places) + 1
    a_name = a_face * (sum(of_groups.values()) + 1)
    weights = {}
    for one in overlaps:
        if one.strand is None:
            continue
        shared = of_groups[one.person_id, one.group]
        leads = one.is_named and shared >= NAMED_SHARE * known[one.group]
        age = ages[one.person_id] * len(places) + places[one.group]
        weights[(one.person_id, one.strand), one.group] = shared * (a_name + a_face if leads else a_face) + age
    return weights


def _said_persons(overlaps: Sequence[Overlap], faces: Mapping[int, Counter[int]]) -> dict[int, int]:
    """By group, the person of whom somebody said most, where nobody else has more faces."""
    said: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for one in overlaps:
        if one.said:
            said[one.group][one.person_id] += one.said
    persons = {}
    for group, counts in said.items():
        most = max(faces[group].values())
        fitting = [person for person in counts if faces[group][person] == most]
        if fitting:
            persons[group] = min(fitting, key=lambda person: (-counts[person], person))
    return persons
