"""What people say of faces, on a real PostgreSQL: one at a time, several at once, and through any later clustering."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import table
from tests.support.people import library, name, names, regroup, search_again, who, wrong_counters
from triptych_gateway.catalog.clustering.former_persons import remember_persons
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.people import corrections, faces, groups, persons, places
from triptych_gateway.catalog.states import NotAllowedError


async def two_groups(connection: AsyncConnection) -> tuple[int, list[int], int, int]:
    """A session with groups of three and two faces and one face in none; it, the faces, and who the groups are."""
    session_id, ids = await library(connection, [2, 2, 2])
    await regroup(connection, session_id, ids[:3], ids[3:5], outliers=ids[5:])
    shown = await who(connection)
    return session_id, ids, shown[ids[0]] or 0, shown[ids[3]] or 0


async def test_a_face_is_who_somebody_said_last_and_the_counters_follow(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        _, ids, ada, ben = await two_groups(connection)
        assert (await corrections.say_who(connection, ids[0], ben)).person_id == ben
        assert (await corrections.say_who(connection, ids[0], ben)).person_id == ben
        assert (await persons.get_person(connection, ben)).face_count == 3
        assert await table(connection, "SELECT kind, person_id FROM corrections") == [("is", ben)]

        # Not Ben: then it is its group's again; not Ada either: then it is nobody.
        assert (await corrections.say_who_not(connection, ids[0])).person_id == ada
        assert (await corrections.say_who_not(connection, ids[0])).person_id is None
        assert (await corrections.say_who_not(connection, ids[0])).person_id is None
        assert await table(connection, "SELECT kind, person_id FROM corrections ORDER BY id") == [
            ("is_not", ben),
            ("is_not", ada),
        ]
        assert (await corrections.say_who(connection, ids[0], ada)).person_id == ada
        assert await table(connection, "SELECT kind, person_id FROM corrections ORDER BY id") == [
            ("is_not", ben),
            ("is", ada),
        ]
        assert await wrong_counters(connection) == []


async def test_a_face_that_is_nobodys_leaves_its_group_and_waits_among_the_unassigned(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids, ada, ben = await two_groups(connection)
        for said, face_id in enumerate(ids[3:5], start=1):
            await corrections.say_who_not(connection, face_id)
            unassigned, total = await faces.list_unassigned(connection, offset=0, limit=5)
            assert {face.id for face in unassigned} == {ids[5], *ids[3 : 3 + said]}
            assert total == 1 + said
        listed, _ = await groups.list_groups(connection, session_id=None, offset=0, limit=5)
        assert (listed[0].person_id, listed[0].face_count) == (ada, 3)
        assert sum(group.face_count for group in listed) == 3
        assert await wrong_counters(connection) == []

        await regroup(connection, session_id, ids[:3], ids[3:5], outliers=ids[5:])
        assert (await who(connection))[ids[3]] != ben
        assert await wrong_counters(connection) == []


async def test_a_face_of_its_own_is_a_new_person_who_goes_with_it(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        _, ids, ada, _ = await two_groups(connection)
        assert (await faces.list_unassigned(connection, offset=0, limit=5))[1] == 1
        fresh = (await corrections.say_who(connection, ids[5], None)).person_id
        assert fresh is not None
        assert (await persons.get_person(connection, fresh)).cover_face_id == ids[5]
        assert await faces.list_unassigned(connection, offset=0, limit=5) == ([], 0)

        await corrections.say_who(connection, ids[5], ada)

        with pytest.raises(NotFoundError):
            await persons.get_person(connection, fresh)
        assert await wrong_counters(connection) == []


async def test_a_cover_that_is_somebody_else_now_is_replaced(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        _, ids, ada, ben = await two_groups(connection)
        assert (await persons.get_person(connection, ada)).cover_face_id == ids[0]

        await corrections.say_who(connection, ids[0], ben)

        assert (await persons.get_person(connection, ada)).cover_face_id == ids[1]


async def test_unknown_faces_and_persons_and_faces_that_are_not_grouped_are_refused(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        _, ids, ada, _ = await two_groups(connection)
        _, (fresh,) = await library(connection, [1], folder=b"/elsewhere")
        (unpublished,) = await search_again(connection, ids[:1], generation=9, shift=0.0)
        for face_id, person_id, error in (
            (2**40, ada, NotFoundError),
            (ids[0], 2**40, NotFoundError),
            (fresh, ada, NotAllowedError),
            (unpublished, ada, NotFoundError),
        ):
            with pytest.raises(error):
                await corrections.say_who(connection, face_id, person_id)
        with pytest.raises(NotAllowedError):
            await corrections.say_who_not(connection, fresh)
        with pytest.raises(NotFoundError, match=str(2**40)):
            await corrections.merge_persons(connection, ada, [2**40])


async def test_of_merged_persons_the_named_then_the_larger_then_the_one_asked_for_stays(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 9)
        await regroup(connection, session_id, ids[:3], ids[3:5], ids[5:7], ids[7:8], ids[8:])
        shown = await who(connection)
        large, small, other, tiny, last = (shown[ids[at]] or 0 for at in (0, 3, 5, 7, 8))

        assert (await corrections.merge_persons(connection, last, [tiny])).id == last, "of equals the one asked for"
        assert (await corrections.merge_persons(connection, other, [last])).id in {other, last}
        await name(connection, small, "Ada")
        merged = await corrections.merge_persons(connection, large, [small])
        assert (merged.id, merged.name, merged.face_count, merged.asset_count) == (small, "Ada", 5, 5)
        assert {(await who(connection))[one] for one in ids[:5]} == {small}
        assert await wrong_counters(connection) == []


async def test_merging_moves_what_was_said_and_drops_what_contradicts_it(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        _, ids, ada, ben = await two_groups(connection)
        await corrections.say_who_not(connection, ids[3])
        await corrections.say_who(connection, ids[3], ada)
        await corrections.say_who_not(connection, ids[4])

        merged = (await corrections.merge_persons(connection, ada, [ben])).id

        assert merged == ada
        # That a face is who it was said to be, that one is not, and of Ada's own group one that stands for it.
        assert await table(connection, "SELECT kind, person_id FROM corrections ORDER BY kind") == [
            ("is", ada),
            ("is", ada),
            ("is_not", ada),
        ]
        assert await who(connection) == {**dict.fromkeys(ids[:4], ada), ids[4]: None, ids[5]: None}
        assert await wrong_counters(connection) == []


async def test_merged_persons_stay_one_when_a_clustering_joins_and_parts_their_groups_again(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 7)
        await regroup(connection, session_id, ids[:4], ids[4:])
        shown = await who(connection)
        ada = (await corrections.merge_persons(connection, shown[ids[0]] or 0, [shown[ids[4]] or 0])).id

        await regroup(connection, session_id, ids)
        await regroup(connection, session_id, ids[:4], ids[4:])

        assert await who(connection) == dict.fromkeys(ids, ada)
        assert await wrong_counters(connection) == []


async def test_persons_who_are_said_to_be_two_are_never_in_one_group(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 9)
        await regroup(connection, session_id, ids[:4], ids[4:7], outliers=ids[7:])
        ada, ben = (await who(connection))[ids[0]] or 0, (await who(connection))[ids[4]] or 0
        await name(connection, ben, "Ben")
        assert (await corrections.keep_apart(connection, ada, [ben])).id == ada
        await corrections.keep_apart(connection, ben, [ada])
        assert [one.id for one in (await persons.list_different(connection, ben, offset=0, limit=5))[0]] == [ada]

        for _ in range(2):
            await regroup(connection, session_id, ids[:8], outliers=ids[8:])

            shown = await who(connection)
            assert [shown[one] for one in ids] == [*[ada] * 4, *[ben] * 3, ada, None]
            assert await wrong_counters(connection) == []
        again = await search_again(connection, ids, generation=7, shift=0.02)
        await regroup(connection, session_id, again, generation=7)
        shown = await who(connection)
        assert [shown[one] for one in again] == [*[ada] * 4, *[ben] * 3, ada, ada]

        # Until somebody says that they are one after all.
        survivor = (await corrections.merge_persons(connection, ada, [ben])).id
        assert await table(connection, "SELECT * FROM different_persons") == []
        await regroup(connection, session_id, again)
        assert set((await who(connection)).values()) == {survivor}


async def test_a_face_left_alone_by_such_a_division_is_in_no_group(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 5)
        await regroup(connection, session_id, ids[:3], ids[3:])
        shown = await who(connection)
        ada, ben = shown[ids[0]] or 0, shown[ids[3]] or 0
        await name(connection, ben, "Ben")
        await corrections.keep_apart(connection, ada, [ben])

        await regroup(connection, session_id, ids[:4], outliers=ids[4:])

        assert await who(connection) == {**dict.fromkeys(ids[:3], ada), **dict.fromkeys(ids[3:], None)}
        assert await names(connection) == {"Ben": ben}


async def test_whoever_was_another_than_a_merged_person_is_another_than_the_one_that_stays(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 6)
        await regroup(connection, session_id, ids[:2], ids[2:4], ids[4:])
        shown = await who(connection)
        ada, ben, cleo = (shown[ids[at]] or 0 for at in (0, 2, 4))
        await corrections.keep_apart(connection, ben, [cleo, ada])

        survivor = (await corrections.merge_persons(connection, ada, [ben])).id

        assert await table(connection, "SELECT person_id, other_id FROM different_persons") == [(survivor, cleo)]


async def test_two_merges_at_once_make_one_person_and_lose_no_face(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        _, ids, ada, ben = await two_groups(connection)

    async def merge(into: int, other: int) -> int:
        async with engine.begin() as connection:
            return (await corrections.merge_persons(connection, into, [other])).id

    outcomes = await asyncio.gather(merge(ada, ben), merge(ben, ada), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)] == [NotFoundError]
    async with engine.connect() as connection:
        assert await who(connection) == {**dict.fromkeys(ids[:5], ada), ids[5]: None}
        assert await wrong_counters(connection) == []


async def test_many_corrections_at_once_all_count(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [4] * 5)
        await regroup(connection, session_id, ids[:10], ids[10:])
        shown = await who(connection)
    ada, ben = shown[ids[0]], shown[ids[10]]

    async def correct(face_id: int) -> None:
        async with engine.begin() as connection:
            await corrections.say_who(connection, face_id, ben if shown[face_id] == ada else ada)

    await asyncio.gather(*(correct(face_id) for face_id in ids))

    async with engine.connect() as connection:
        assert await who(connection) == {face: ben if index < 10 else ada for index, face in enumerate(ids)}
        assert await wrong_counters(connection) == []


async def test_a_correction_that_is_made_while_a_clustering_is_written_is_not_lost(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids, ada, ben = await two_groups(connection)

    async def correct() -> int | None:
        async with engine.begin() as connection:
            return (await corrections.say_who(connection, ids[0], ben)).person_id

    async with engine.begin() as connection:
        await remember_persons(connection, model_id="faces/1")
        correcting = asyncio.create_task(correct())
        async with engine.connect() as watching:
            while not await table(watching, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                await watching.rollback()
        assert not correcting.done()
        await regroup(connection, session_id, ids[:3], ids[3:5], outliers=ids[5:])

    assert await correcting == ben
    async with engine.connect() as connection:
        assert (await who(connection))[ids[0]] == ben
        assert (await who(connection))[ids[1]] == ada
        assert await wrong_counters(connection) == []


async def test_the_lock_of_places_ends_with_the_transaction(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await places.lock(connection)
    async with engine.begin() as connection:
        await asyncio.wait_for(places.lock(connection), 10)


SIZE = 8
"""Faces of the small library that the laws are tried on: two in each of four photos."""

partitions = st.lists(st.integers(0, 3), min_size=SIZE, max_size=SIZE)
"""For each face the number of its group; 0 is none."""
steps = st.one_of(
    st.tuples(st.just("is"), st.integers(0, SIZE - 1), st.integers(0, SIZE)),
    st.tuples(st.just("is_not"), st.integers(0, SIZE - 1), st.just(0)),
    st.tuples(st.just("merge"), st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)),
    st.tuples(st.just("apart"), st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)),
    st.tuples(st.just("regroup"), partitions, st.just(0)),
    st.tuples(st.just("search_again"), partitions, st.just(0)),
)


class Said:
    """What people said, kept beside the catalogue: of each face who it is and who it is not."""

    def __init__(self) -> None:
        self.person: dict[int, int] = {}
        self.not_persons: dict[int, set[int]] = {index: set() for index in range(SIZE)}
        self.apart: set[frozenset[int]] = set()

    def is_somebody(self, index: int, person_id: int) -> None:
        self.person[index] = person_id
        self.not_persons[index].discard(person_id)

    def is_not(self, index: int, person_id: int) -> None:
        if self.person.get(index) == person_id:
            del self.person[index]
        self.not_persons[index].add(person_id)

    def merged(self, gone: int, survivor: int) -> None:
        self.apart = {one - {gone} | {survivor} if gone in one else one for one in self.apart}
        self.apart = {one for one in self.apart if len(one) == 2}
        for index in range(SIZE):
            if self.person.get(index) == gone:
                self.person[index] = survivor
            if gone in self.not_persons[index]:
                self.not_persons[index] = self.not_persons[index] - {gone} | {survivor}
            if self.person.get(index) == survivor:
                self.not_persons[index].discard(survivor)

    def check_apart(self, before: Sequence[int | None], groups: Sequence[int | None]) -> None:
        """That no two faces that were two persons who are said to be two are in one group now."""
        for one, other in itertools.combinations(range(SIZE), 2):
            if groups[one] is not None and groups[one] == groups[other]:
                assert frozenset({before[one], before[other]}) not in self.apart

    def check(self, shown: Sequence[int | None]) -> None:
        for index, person_id in enumerate(shown):
            if index in self.person:
                assert person_id == self.person[index]
            else:
                assert person_id is None or person_id not in self.not_persons[index]


def _groups(ids: Sequence[int], partition: Sequence[int]) -> tuple[list[list[int]], list[int]]:
    groups = [[one for one, number in zip(ids, partition, strict=True) if number == wanted] for wanted in (1, 2, 3)]
    return [group for group in groups if group], [
        one for one, number in zip(ids, partition, strict=True) if number == 0
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(steps, max_size=10), first=partitions, named=st.sets(st.integers(0, SIZE - 1), max_size=3))
async def test_whatever_people_said_holds_after_any_clustering(
    engine: AsyncEngine, story: list[tuple[str, Any, int]], first: list[int], named: set[int]
) -> None:
    async with engine.connect() as connection:
        session_id, ids = await library(connection, [2] * (SIZE // 2))
        said, generation = Said(), 1
        groups, outliers = _groups(ids, first)
        await regroup(connection, session_id, *groups, outliers=outliers)
        shown = await who(connection)
        for person_id in {shown[ids[index]] for index in named} - {None}:
            await name(connection, person_id, f"Person {person_id}")
        for kind, what, other in story:
            shown = await who(connection)
            if kind == "is":
                person_id = shown[ids[other]] if other < SIZE else None
                answer = await corrections.say_who(connection, ids[what], person_id)
                assert answer.person_id is not None
                said.is_somebody(what, answer.person_id)
            elif kind == "is_not":
                before = shown[ids[what]]
                await corrections.say_who_not(connection, ids[what])
                if before is not None:
                    said.is_not(what, before)
            elif kind == "merge":
                one, two = shown[ids[what]], shown[ids[other]]
                if one is not None and two is not None and one != two:
                    survivor = (await corrections.merge_persons(connection, one, [two])).id
                    said.merged(two if survivor == one else one, survivor)
            elif kind == "apart":
                one, two = shown[ids[what]], shown[ids[other]]
                if one is not None and two is not None and one != two:
                    await corrections.keep_apart(connection, one, [two])
                    said.apart.add(frozenset({one, two}))
            else:
                before_all = [shown[one] for one in ids]
                if kind == "search_again":
                    generation += 1
                    ids = await search_again(connection, ids, generation=generation, shift=0.001)
                called = await names(connection)
                groups, outliers = _groups(ids, what)
                await regroup(
                    connection,
                    session_id,
                    *groups,
                    outliers=outliers,
                    generation=generation if kind == "search_again" else 1,
                )
                assert await names(connection) == called, "names stay"
                rows = await table(connection, "SELECT face_id, group_id FROM face_places")
                said.check_apart(before_all, [dict(rows)[one] for one in ids])
            shown = await who(connection)
            said.check([shown[one] for one in ids])
            assert await wrong_counters(connection) == []
        await connection.rollback()
