"""Matching new groups to persons: by overlap, largest first, one to one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.catalog.faces import match_persons

former_persons = st.dictionaries(st.integers(0, 40), st.integers(1, 6))


@st.composite
def disjoint_groups(draw: st.DrawFn) -> list[list[int]]:
    """Groups that share no face, as clustering makes them."""
    labels = draw(st.lists(st.integers(-1, 5), min_size=1, max_size=40))
    return [group for label in range(6) if (group := [face for face, of in enumerate(labels) if of == label])]


def test_a_group_keeps_the_person_of_most_of_its_faces() -> None:
    assert match_persons([[1, 2, 3], [4, 5]], {1: 10, 2: 10, 3: 20, 4: 20, 5: 20}) == [10, 20]


def test_a_person_that_was_split_stays_with_the_larger_part() -> None:
    assert match_persons([[1], [2, 3]], {1: 10, 2: 10, 3: 10}) == [None, 10]


def test_of_two_persons_that_became_one_the_larger_stays() -> None:
    assert match_persons([[1, 2, 3]], {1: 10, 2: 20, 3: 20}) == [20]


def test_a_group_whose_person_went_elsewhere_takes_the_next_best() -> None:
    assert match_persons([[1, 2, 3, 9], [4, 5, 6, 7, 8]], {**dict.fromkeys((1, 2, 4, 5, 6), 10), 3: 20}) == [20, 10]


def test_faces_that_were_nobodys_make_a_new_person() -> None:
    assert match_persons([[7, 8]], {1: 10}) == [None]
    assert match_persons([], {1: 10}) == []


@given(groups=disjoint_groups(), former=former_persons)
def test_a_person_goes_to_one_group_at_most_and_only_to_one_with_a_face_of_theirs(
    groups: list[list[int]], former: dict[int, int]
) -> None:
    persons = match_persons(groups, former)

    assert len(persons) == len(groups)
    given_persons = [person for person in persons if person is not None]
    assert len(given_persons) == len(set(given_persons))
    for group, person in zip(groups, persons, strict=True):
        assert person is None or person in {former[face] for face in group if face in former}


@given(groups=disjoint_groups(), former=former_persons)
def test_no_group_is_left_without_a_person_that_is_free(groups: list[list[int]], former: dict[int, int]) -> None:
    persons = match_persons(groups, former)

    for group, person in zip(groups, persons, strict=True):
        if person is None:
            assert {former[face] for face in group if face in former} <= set(persons)


@given(groups=disjoint_groups(), former=former_persons)
def test_no_swap_of_a_group_to_a_larger_overlap_was_missed(groups: list[list[int]], former: dict[int, int]) -> None:
    persons = match_persons(groups, former)
    overlap = [Counter(former[face] for face in group if face in former) for group in groups]
    owner = {person: index for index, person in enumerate(persons) if person is not None}

    for index, person in enumerate(persons):
        for wanted, count in overlap[index].items():
            if count > (overlap[index][person] if person is not None else 0):
                assert overlap[owner[wanted]][wanted] >= count


@given(groups=disjoint_groups())
def test_the_same_groups_keep_their_persons(groups: list[list[int]]) -> None:
    former = {face: 100 + index for index, group in enumerate(groups) for face in group}

    assert match_persons(groups, former) == [100 + index for index in range(len(groups))]
