"""Matching new groups to persons: named ones first, then by overlap; each former group goes to one new group."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.catalog.person_matching import NAMED_SHARE, Overlap, match_groups


def overlap(group: int, person: int, faces: int, *, strand: int | None = 0, named: bool = False) -> Overlap:
    return Overlap(group=group, person_id=person, strand=strand, faces=faces, is_named=named)


# One overlap for each group and strand, as counting gives them; who is named depends on the person alone.
overlaps = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(1, 6), st.none() | st.integers(0, 2)), st.integers(1, 30), max_size=25
).map(
    lambda counts: [
        overlap(group, person, faces, strand=strand, named=person % 2 == 0)
        for (group, person, strand), faces in counts.items()
    ]
)


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
def test_a_group_with_a_hand_set_face_or_a_free_former_group_is_somebody(counted: list[Overlap]) -> None:
    persons = match_groups(counted)

    for one in counted:
        assert one.strand is not None or one.group in persons


@given(overlaps)
def test_no_name_is_lost_to_a_person_without_one(counted: list[Overlap]) -> None:
    persons = match_groups(counted)
    known = Counter[int]()
    for one in counted:
        known[one.group] += one.faces

    for one in counted:
        leads = one.is_named and one.strand is not None and one.faces >= NAMED_SHARE * known[one.group]
        # Whoever leads in a group has it, or another named person has, or all that person's parts went elsewhere.
        if leads and one.group in persons and persons[one.group] != one.person_id:
            assert persons[one.group] % 2 == 0 or one.person_id in persons.values()


@given(st.permutations(range(5)))
def test_the_order_of_counting_does_not_matter(order: list[int]) -> None:
    counted = [overlap(0, 1, 3), overlap(0, 2, 3), overlap(1, 2, 3), overlap(2, 1, 3), overlap(2, 4, 1, named=True)]

    assert match_groups([counted[index] for index in order]) == match_groups(counted)


def _by_hand(counted: list[Overlap], group: int, person: int) -> bool:
    return any(one.group == group and one.person_id == person and one.strand is None for one in counted)
