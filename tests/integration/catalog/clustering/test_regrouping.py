"""A new clustering on a real PostgreSQL: persons, names and corrections stay, whatever becomes of groups and faces."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import FACES, found, new_session, table
from tests.support.people import detect, library, name, names, regroup, search_again, who, wrong_counters
from triptych_gateway.catalog.clustering import face_space
from triptych_gateway.catalog.clustering.former_persons import remember_persons
from triptych_gateway.catalog.clustering.regrouping import NamedPersonChange, replace_clustering
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.people import corrections, faces, groups, persons, places
from triptych_gateway.catalog.sessions import session_edits


async def test_names_stay_with_faces_that_were_replaced_by_new_rows(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [2, 2, 2, 2])
        await regroup(connection, session_id, ids[0::2], ids[1::2])
        ada, ben = (await who(connection))[ids[0]], (await who(connection))[ids[1]]
        await name(connection, ada, "Ada")
        await persons.change_person(connection, ada or 0, {"cover_face_id": ids[2]})
        again = await search_again(connection, ids, generation=7, shift=0.03)
        assert await face_space.count_space(connection, model_id=FACES, generation=7) == 8
        batches = [one async for one in face_space.read_space(connection, model_id=FACES, generation=7)]
        assert sorted(number for one in batches for number in one.face_ids.tolist()) == sorted(again)

        await regroup(connection, session_id, again[0::2], again[1::2], generation=7)

        assert await who(connection) == {one: (ada, ben)[index % 2] for index, one in enumerate(again)}
        assert await names(connection) == {"Ada": ada}
        assert (await persons.get_person(connection, ada or 0)).cover_face_id == again[2]
        assert await wrong_counters(connection) == []


async def test_what_a_restart_found_is_clustered_beside_what_it_did_not_touch(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        _, ids = await library(connection, [1, 1, 1])
        (again,) = await search_again(connection, ids[1:2], generation=7, shift=0.0)

        batches = [one async for one in face_space.read_space(connection, model_id=FACES, generation=7)]

        assert [number for one in batches for number in one.face_ids.tolist()] == [ids[0], ids[2], again]
        live = [one async for one in face_space.read_space(connection, model_id=FACES)]
        assert [number for one in live for number in one.face_ids.tolist()] == ids


async def test_merged_persons_stay_one_though_their_groups_stay_apart(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 7)
        parts = [ids[:3], ids[3:5], ids[5:]]
        await regroup(connection, session_id, *parts)
        shown = await who(connection)
        first, second, third = (shown[part[0]] for part in parts)
        await corrections.merge_persons(connection, second or 0, [first or 0])

        await regroup(connection, session_id, *parts)

        assert set((await who(connection)).values()) == {first, third}
        assert (await persons.get_person(connection, first or 0)).face_count == 5
        assert await wrong_counters(connection) == []


async def test_corrections_win_over_groups_in_every_later_clustering(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 6)
        await regroup(connection, session_id, ids[:3], ids[3:5], outliers=ids[5:])
        ada, ben = (await who(connection))[ids[0]], (await who(connection))[ids[3]]
        await corrections.say_who(connection, ids[3], ada)
        await corrections.say_who_not(connection, ids[2])
        carl = (await corrections.say_who(connection, ids[5], None)).person_id
        expected = {ids[0]: ada, ids[1]: ada, ids[2]: None, ids[3]: ada, ids[4]: ben, ids[5]: carl}
        assert await who(connection) == expected

        await regroup(connection, session_id, ids[:3], ids[3:5], outliers=ids[5:])
        assert await who(connection) == expected
        again = await search_again(connection, ids, generation=7, shift=0.02)
        await regroup(connection, session_id, again[:3], again[3:5], outliers=again[5:], generation=7)

        shown = await who(connection)
        assert [shown[one] for one in again] == list(expected.values())
        # The group that grows around a face which somebody named is that person.
        await regroup(connection, session_id, again[:3], [again[5], again[4]])
        assert (await who(connection))[again[5]] == carl
        assert await wrong_counters(connection) == []


async def test_forgetting_a_session_makes_its_persons_anew_and_leaves_others_alone(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 4)
        other, others = await library(connection, [1] * 2, folder=b"/elsewhere")
        await regroup(connection, session_id, ids[:2], ids[2:], others)
        ada, eve = (await who(connection))[ids[0]], (await who(connection))[others[0]]
        await name(connection, ada, "Ada")
        await name(connection, eve, "Eve")
        await corrections.say_who(connection, ids[2], ada)
        assert await persons.count_session_persons(connection, session_id) == 2
        assert await persons.count_session_persons(connection, other) == 1

        await regroup(connection, session_id, ids[:2], ids[2:], others, forget=True)

        assert await names(connection) == {"Eve": eve}
        assert await table(connection, "SELECT count(*) FROM corrections") == [(0,)]
        shown = await who(connection)
        assert shown[others[0]] == eve
        assert shown[ids[0]] not in {None, ada}
        assert shown[ids[0]] != shown[ids[2]] == shown[ids[3]]


async def test_persons_of_missing_photos_wait_for_them(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 5)
        await regroup(connection, session_id, ids[:2], ids[2:4], outliers=ids[4:])
        ada = (await who(connection))[ids[0]]
        await name(connection, ada, "Ada")
        gone = "UPDATE assets SET missing_at = now() WHERE id IN (SELECT asset_id FROM faces WHERE id = ANY(:ids))"
        await connection.execute(text(gone), {"ids": [*ids[:2], ids[4]]})
        assert await wrong_counters(connection) == []
        assert (await persons.get_person(connection, ada or 0)).face_count == 0
        listed, total = await groups.list_groups(connection, session_id=None, offset=0, limit=10)
        assert ([one.face_count for one in listed], total) == ([2], 1), "no group is shown without a face"
        assert await faces.list_unassigned(connection, offset=0, limit=10) == ([], 0)
        assert await face_space.count_space(connection, model_id=FACES) == 2

        await regroup(connection, session_id, ids[2:4])
        assert await names(connection) == {"Ada": ada}
        await photos.add_photos(connection, session_id, [found(b"/photos/000"), found(b"/photos/001")])

        assert (await who(connection))[ids[0]] == ada
        assert await wrong_counters(connection) == []
        await regroup(connection, session_id, ids[:2], ids[2:4])
        assert (await who(connection))[ids[1]] == ada


async def test_persons_are_recognised_in_what_another_model_finds(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [2, 2, 2])
        await regroup(connection, session_id, ids[0::2], ids[1::2])
        ada = (await who(connection))[ids[0]]
        await name(connection, ada, "Ada")
        later = await new_session(connection, paths=[b"/photos/000", b"/photos/001"])
        newer = await detect(connection, later, [2, 2], model_id="faces/2", shift=0.04)

        await regroup(connection, later, newer[0::2], newer[1::2], model_id="faces/2")

        shown = await who(connection)
        assert [shown[newer[0]], shown[newer[2]], shown[ids[4]]] == [ada] * 3
        assert shown.keys() == {*newer, *ids[4:]}, "a photo shows what one model found in it"
        assert await wrong_counters(connection) == []


async def test_a_photo_that_is_searched_anew_gives_up_its_places_and_counters(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [2, 2])
        await regroup(connection, session_id, ids[0::2], ids[1::2])
        later = await new_session(connection)
        await photos.add_photos(connection, later, [found(b"/photos/000", size=11)])

        await detect(connection, later, [1])

        assert (await who(connection)).keys() == set(ids[2:])
        assert await wrong_counters(connection) == []


async def test_what_became_of_persons_with_a_name_is_told(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 14)
        await regroup(connection, session_id, ids[:7], ids[7:10], ids[10:12], ids[12:])
        shown = await who(connection)
        ada, ben, cleo = (shown[ids[at]] or 0 for at in (0, 7, 10))
        for person_id, called in ((ada, "Ada"), (ben, "Ben"), (cleo, "Cleo")):
            await name(connection, person_id, called)

        told = await regroup(connection, session_id, [*ids[:5], *ids[7:9]], ids[5:7], outliers=ids[9:])

        shown = await who(connection)
        assert set(told.named) == {
            NamedPersonChange(kind="split", person_id=ada, name="Ada", into_id=shown[ids[5]], faces=2),
            NamedPersonChange(kind="merged", person_id=ben, name="Ben", into_id=ada, faces=2),
            NamedPersonChange(kind="ungrouped", person_id=cleo, name="Cleo", into_id=None, faces=0),
        }
        assert dict(told.persons_changed) == {"split": 1, "merged": 1, "ungrouped": 2}
        assert (told.groups_kept, told.faces_changed) == (1, 9)


async def test_a_person_without_name_faces_or_corrections_is_gone(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1] * 4)
        await regroup(connection, session_id, ids[:2], ids[2:])
        named, kept = (await who(connection))[ids[0]], (await who(connection))[ids[2]]
        await name(connection, named, "Ada")
        await corrections.say_who(connection, ids[2], kept)

        await regroup(connection, session_id, outliers=ids)

        assert await table(connection, "SELECT id, face_count FROM persons ORDER BY id") == [(named, 0), (kept, 1)]


async def test_the_picture_of_another_model_is_refused(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        former = await remember_persons(connection, model_id="faces/2")
        with pytest.raises(ValueError, match="faces/2"):
            await replace_clustering(
                connection, former=former, session_id=1, model_id=FACES, parameters={}, face_count=0, groups=[]
            )


async def _sessions_persons(connection: AsyncConnection, session_id: int) -> set[int]:
    listed, total = await persons.list_persons(connection, offset=0, limit=100, session_id=session_id)
    assert total == len(listed)
    return {one.id for one in listed}


async def test_a_session_shows_the_persons_in_its_own_photos(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await library(connection, [1, 1])
        other, others = await library(connection, [1, 1], folder=b"/elsewhere")
        await regroup(connection, session_id, [ids[0], others[0]], [ids[1]], [others[1]])
        shown = await who(connection)

        assert await _sessions_persons(connection, session_id) == {shown[ids[0]], shown[ids[1]]}
        assert await _sessions_persons(connection, other) == {shown[others[0]], shown[others[1]]}
        assert await persons.list_persons(connection, offset=5, limit=10, session_id=other) == ([], 2)


async def test_a_session_that_grouped_last_can_be_deleted_while_another_one_groups(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        former, ids = await library(connection, [2, 2])
        await regroup(connection, former, ids[0::2], ids[1::2])
        latter = await new_session(connection, paths=[b"/photos/000", b"/photos/001"])
        await connection.execute(
            text("UPDATE sessions SET status = 'completed' WHERE id = :session_id"), {"session_id": former}
        )

    async def delete() -> None:
        async with engine.begin() as connection:
            await session_edits.delete_session(connection, former)

    async with engine.begin() as connection:
        await places.lock(connection)
        deleting = asyncio.create_task(delete())
        async with engine.connect() as watching:
            while not await table(watching, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                await watching.rollback()
        await regroup(connection, latter, ids[0::2], ids[1::2])
    await deleting

    async with engine.connect() as connection:
        assert await table(connection, "SELECT session_id FROM clusterings") == [(latter,)]
        assert await wrong_counters(connection) == []
