"""What is told of persons whose faces a new clustering divides or joins."""

from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.catalog.clustering.person_changes import PersonChange, person_changes
from triptych_gateway.catalog.clustering.person_matching import Overlap, match_groups


def overlap(group: int, person: int, faces: int, *, strand: int = 0, named: bool = True) -> Overlap:
    return Overlap(group=group, person_id=person, strand=strand, faces=faces, is_named=named)


def _changes(*overlaps: Overlap, former: set[int]) -> list[PersonChange]:
    return person_changes(overlaps, match_groups(overlaps), former=former)


def test_nothing_is_told_where_everybody_has_their_group() -> None:
    assert _changes(overlap(0, 10, 5), overlap(1, 20, 5), former={10, 20}) == []


def test_a_person_who_fell_apart_is_told_with_the_part_that_left() -> None:
    assert _changes(overlap(0, 10, 5), overlap(1, 10, 3), overlap(2, 10, 1), former={10}) == [
        PersonChange(kind="split", person_id=10, group=1, faces=3)
    ]


def test_a_person_whose_group_went_to_another_is_told_and_so_is_one_in_no_group() -> None:
    assert _changes(overlap(0, 10, 5), overlap(0, 20, 3), former={10, 20, 30}) == [
        PersonChange(kind="merged", person_id=20, group=0, faces=3),
        PersonChange(kind="ungrouped", person_id=30, group=None, faces=0),
    ]


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(0, 1)), st.integers(1, 30), max_size=20
    ),
    st.sets(st.integers(1, 6)),
)
def test_nobody_who_had_a_group_is_without_one_unless_it_is_told(
    counts: dict[tuple[int, int, int], int], others: set[int]
) -> None:
    overlaps = [overlap(group, person, faces, strand=strand) for (group, person, strand), faces in counts.items()]
    persons = match_groups(overlaps)
    former = {one.person_id for one in overlaps} | others

    told = {one.person_id for one in person_changes(overlaps, persons, former=former) if one.kind != "split"}

    assert told == former - set(persons.values())
