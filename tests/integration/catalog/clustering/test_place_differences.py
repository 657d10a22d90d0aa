"""The end of a clustering writes only what changed, and what did not change keeps its ids."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import table
from tests.support.people import library, name, regroup, who, wrong_counters
from triptych_gateway.catalog.people import corrections

SIZE = 8
"""Faces of the small library that the laws are tried on: two in each of four photos."""

partitions = st.lists(st.integers(0, 3), min_size=SIZE, max_size=SIZE)
"""For each face the number of its group; 0 is none."""


def divided(ids: Sequence[int], partition: Sequence[int]) -> tuple[list[list[int]], list[int]]:
    """The groups of a partition, and the faces in none."""
    parts: defaultdict[int, list[int]] = defaultdict(list)
    for face_id, number in zip(ids, partition, strict=True):
        parts[number].append(face_id)
    outliers = parts.pop(0, [])
    return list(parts.values()), outliers


async def groups_of(connection: AsyncConnection) -> dict[int, tuple[frozenset[int], int]]:
    """Each group's faces and who it is, by its id."""
    rows = await table(
        connection,
        """SELECT g.id, array_agg(p.face_id), g.person_id FROM groups g JOIN face_places p ON p.group_id = g.id
           GROUP BY g.id""",
    )
    return {group_id: (frozenset(face_ids), person_id) for group_id, face_ids, person_id in rows}


async def wrong_session_counters(connection: AsyncConnection) -> list[tuple[Any, ...]]:
    """Every counter of sessions that is not what counting gives."""
    return await table(
        connection,
        """
        WITH places AS (
            SELECT s.session_id, p.group_id, p.person_id FROM face_places p
            JOIN session_assets s ON s.asset_id = p.asset_id WHERE p.shown)
        (SELECT 'person', session_id, person_id, face_count FROM session_persons EXCEPT
            SELECT 'person', session_id, person_id, count(*) FROM places WHERE person_id IS NOT NULL GROUP BY 2, 3)
        UNION ALL
        (SELECT 'group', session_id, group_id, count(*) FROM places WHERE group_id IS NOT NULL GROUP BY 2, 3 EXCEPT
            SELECT 'group', session_id, group_id, face_count FROM session_groups)
        UNION ALL
        (SELECT 'faces', session_id, count(group_id), count(person_id) FROM places
            WHERE coalesce(group_id, person_id) IS NOT NULL GROUP BY 2 EXCEPT
            SELECT 'faces', session_id, in_groups, of_persons FROM session_faces)""",
    )


async def rows_of(connection: AsyncConnection) -> dict[str, list[tuple[Any, ...]]]:
    """Where the rows lie and which transaction wrote them: a row that is written again lies elsewhere."""
    tables = ("face_places", "groups", "persons", "session_persons", "session_groups", "session_faces")
    return {
        one: await table(connection, f"SELECT ctid::text, xmin::text FROM {one} ORDER BY 1")  # noqa: S608 - names
        for one in tables
    }


async def test_the_same_groups_again_leave_every_row_where_it_lies(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [2] * 6)
        await regroup(connection, session_id, ids[:5], ids[5:9], outliers=ids[9:])
        await corrections.say_who(connection, ids[0], (await who(connection))[ids[5]])
        await corrections.say_who_not(connection, ids[6])
    async with engine.begin() as connection:
        before = await rows_of(connection)
    async with engine.begin() as connection:
        await regroup(connection, session_id, ids[:5], ids[5:9], outliers=ids[9:])
    async with engine.begin() as connection:
        assert await rows_of(connection) == before


async def test_a_face_that_joins_a_group_is_all_that_is_written(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [2] * 20)
        await regroup(connection, session_id, ids[:20], ids[20:39], outliers=ids[39:])
    async with engine.begin() as connection:
        before = await rows_of(connection)
    async with engine.begin() as connection:
        await regroup(connection, session_id, ids[:20], ids[20:])
    async with engine.begin() as connection:
        after = await rows_of(connection)
        assert len(set(after["face_places"]) - set(before["face_places"])) == 1
        assert len(set(after["groups"]) - set(before["groups"])) == 1
        assert len(set(after["persons"]) - set(before["persons"])) == 1
        assert await wrong_counters(connection) + await wrong_session_counters(connection) == []


async def test_a_group_that_loses_and_wins_faces_keeps_its_id(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 9)
        await regroup(connection, session_id, ids[:4], ids[4:7], outliers=ids[7:])
        before = await groups_of(connection)
        await regroup(connection, session_id, [*ids[:3], ids[7]], [*ids[4:7], ids[3]], outliers=ids[8:])

        assert (await groups_of(connection)).keys() == before.keys()
        assert await wrong_counters(connection) + await wrong_session_counters(connection) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(partitions, min_size=1, max_size=5), named=st.sets(st.integers(0, SIZE - 1), max_size=3))
async def test_what_is_written_is_the_clustering_and_groups_that_stay_keep_group_and_person(
    engine: AsyncEngine, story: list[list[int]], named: set[int]
) -> None:
    async with engine.connect() as connection:
        session_id, ids = await library(connection, [2] * (SIZE // 2))
        # Beside them a group large enough that the others are the few that changed, and triggers count them.
        _, crowd = await library(connection, [4] * 25, folder=b"/crowd")
        before: dict[int, tuple[frozenset[int], int]] = {}
        for partition in story:
            groups, outliers = divided(ids, partition)
            await regroup(connection, session_id, crowd, *groups, outliers=outliers)

            after = await groups_of(connection)
            assert {faces for faces, _ in after.values()} == {frozenset(crowd), *map(frozenset, groups)}
            for group_id, (faces, person_id) in before.items():
                if faces in {frozenset(one) for one in groups}:
                    assert after[group_id] == (faces, person_id)
            assert await wrong_counters(connection) + await wrong_session_counters(connection) == []
            shown = await who(connection)
            for somebody in {shown[ids[index]] for index in named} - {None}:
                await name(connection, somebody, f"Person {somebody}")
            before = await groups_of(connection)
        await connection.rollback()
