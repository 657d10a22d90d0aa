"""Matching new groups to persons: as many faces as can be stay who they were, and each former group goes one way."""

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.catalog.clustering.person_matching import NAMED_SHARE, Overlap, match_groups


def overlap(group: int, person: int, faces: int, *, strand: int | None = 0, named: bool = False) -> Overlap:
    said = faces if strand is None else 0
    return Overlap(group=group, person_id=person, strand=strand, faces=faces, is_named=named, said=said)


# One overlap for each group and strand, as counting gives them; who is named depends on the person alone.
overlaps = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(1, 6), st.none() | st.integers(0, 2)), st.integers(1, 30), max_size=25
).map(
    lambda counts: [
        overlap(group, person, faces, strand=strand, named=person % 2 == 0)
        for (group, person, strand), faces in counts.items()
    ]
)


overlap_of_few = st.builds(
    lambda group, person, strand, faces: overlap(group, person, faces, strand=strand, named=person % 2 == 0),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(0, 1),
    st.integers(1, 30),
)


def _of_groups(counted: list[Overlap], group: int, person: int) -> int:
    return sum(one.faces for one in counted if (one.group, one.person_id) == (group, person) and one.strand is not None)


def _leads(counted: list[Overlap], group: int, person: int) -> bool:
    known = sum(one.faces for one in counted if one.group == group)
    shared = _of_groups(counted, group, person)
    return shared > 0 and shared >= NAMED_SHARE * known and person % 2 == 0


def _has_strand(counted: list[Overlap], group: int, person: int) -> bool:
    return _of_groups(counted, group, person) > 0


def _kept(counted: list[Overlap], persons: dict[int, int]) -> tuple[int, int]:
    """Faces that stay who they were: of named persons who lead, and of all."""
    shared = {(group, person): _of_groups(counted, group, person) for group, person in persons.items()}
    return sum(faces for pair, faces in shared.items() if _leads(counted, *pair)), sum(shared.values())


def _choices(counted: list[Overlap]) -> list[dict[int, int]]:
    """Each way to give every strand a group in which it has faces, or none, and no group to two."""
    strands = sorted({(one.person_id, one.strand or 0) for one in counted})
    groups = [[None, *(one.group for one in counted if (one.person_id, one.strand) == strand)] for strand in strands]
    choices = []
    for chosen in itertools.product(*groups):
        taken = [group for group in chosen if group is not None]
        if len(set(taken)) == len(taken):
            choices.append(
                {group: strand[0] for group, strand in zip(chosen, strands, strict=True) if group is not None}
            )
    return choices


def test_a_group_is_the_person_with_whom_it_shares_most() -> None:
    assert match_groups([overlap(0, 10, 2), overlap(0, 20, 1), overlap(1, 20, 2)]) == {0: 10, 1: 20}


def test_of_a_group_that_fell_apart_the_largest_part_is_the_person() -> None:
    assert match_groups([overlap(0, 10, 1), overlap(1, 10, 2)]) == {1: 10}


def test_of_two_persons_that_became_one_the_larger_stays() -> None:
    assert match_groups([overlap(0, 10, 1), overlap(0, 20, 2)]) == {0: 20}


def test_a_name_wins_over_more_faces_without_one() -> None:
    assert match_groups([overlap(0, 10, 9), overlap(0, 20, 2, named=True)]) == {0: 20}


def test_a_stray_face_does_not_put_its_name_on_a_crowd() -> None:
    assert match_groups([overlap(0, 10, 99), overlap(0, 20, 1, named=True)]) == {0: 10}


def test_a_person_merged_out_of_two_groups_keeps_both() -> None:
    assert match_groups([overlap(0, 10, 5, strand=1), overlap(1, 10, 4, strand=2)]) == {0: 10, 1: 10}


def test_faces_of_two_former_groups_of_a_person_count_together() -> None:
    counted = [overlap(0, 10, 4, strand=1), overlap(0, 10, 4, strand=2), overlap(0, 20, 6)]
    assert match_groups(counted) == {0: 10}


def test_two_named_persons_both_keep_a_group_where_the_larger_overlap_would_cost_one_of_them() -> None:
    counted = [overlap(0, 10, 60, named=True), overlap(1, 10, 40, named=True), overlap(0, 20, 50, named=True)]
    assert match_groups(counted) == {0: 20, 1: 10}


def test_the_smaller_part_is_still_the_person_where_somebody_said_so_of_a_face_in_it() -> None:
    smaller = Overlap(group=1, person_id=10, strand=0, faces=4, is_named=True, said=1)
    assert match_groups([overlap(0, 10, 6, named=True), smaller]) == {0: 10, 1: 10}


def test_a_face_put_there_by_hand_decides_only_where_no_former_group_does() -> None:
    assert match_groups([overlap(0, 10, 3), overlap(0, 20, 4, strand=None, named=True)]) == {0: 10}
    assert match_groups([overlap(0, 20, 1, strand=None)]) == {0: 20}


@given(overlaps)
def test_each_former_group_goes_to_one_group_at_most_and_only_where_it_has_faces(counted: list[Overlap]) -> None:
    persons = match_groups(counted)

    by_strand = Counter(person for group, person in persons.items() if not _by_hand(counted, group, person))
    for person, groups in by_strand.items():
        assert groups <= len({one.strand for one in counted if one.person_id == person and one.strand is not None})
    for group, person in persons.items():
        assert any(one.group == group and one.person_id == person for one in counted)


@given(overlaps)
def test_a_group_of_faces_that_people_said_are_one_person_is_somebody(counted: list[Overlap]) -> None:
    persons = match_groups(counted)

    for group in {one.group for one in counted}:
        known = {one.person_id for one in counted if one.group == group}
        said = {one.person_id for one in counted if one.group == group and one.said}
        assert group in persons or not known <= said


@given(st.lists(overlap_of_few, max_size=8, unique_by=lambda one: (one.group, one.person_id, one.strand)))
def test_no_other_choice_keeps_more_faces_of_those_who_lead_nor_as_many_and_more_of_all(
    counted: list[Overlap],
) -> None:
    persons = {group: person for group, person in match_groups(counted).items() if _has_strand(counted, group, person)}

    assert _kept(counted, persons) == max(_kept(counted, choice) for choice in _choices(counted))


@given(overlaps)
def test_who_led_in_a_group_with_a_name_still_has_one_or_gave_it_to_another_name(counted: list[Overlap]) -> None:
    persons = match_groups(counted)

    for group, person in itertools.product(range(6), range(2, 7, 2)):
        if _leads(counted, group, person) and person not in persons.values():
            assert persons[group] % 2 == 0


@given(overlaps)
def test_matching_again_changes_nothing(counted: list[Overlap]) -> None:
    persons = match_groups(counted)
    sizes = Counter[int]()
    for one in counted:
        sizes[one.group] += one.faces
    settled = [
        overlap(group, person, sizes[group], strand=group, named=person % 2 == 0) for group, person in persons.items()
    ]

    assert match_groups(settled) == persons


@given(st.permutations(range(5)))
def test_the_order_of_counting_does_not_matter(order: list[int]) -> None:
    counted = [overlap(0, 1, 3), overlap(0, 2, 3), overlap(1, 2, 3), overlap(2, 1, 3), overlap(2, 4, 1, named=True)]

    assert match_groups([counted[index] for index in order]) == match_groups(counted)


def _by_hand(counted: list[Overlap], group: int, person: int) -> bool:
    return any(one.group == group and one.person_id == person and one.strand is None for one in counted)
