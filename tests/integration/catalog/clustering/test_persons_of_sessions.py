"""Which persons and groups have faces in a session's photos: counted, whoever changes photos, faces or persons."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import FACES, begin, detected, found, items_of, new_session, table
from triptych_gateway.catalog.clustering.former_persons import remember_persons
from triptych_gateway.catalog.clustering.regrouping import NewGroup, replace_clustering
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.people import corrections, groups, persons
from triptych_gateway.catalog.runs import results

PATHS = (b"/photos/a", b"/photos/b", b"/photos/c")


async def assert_counted(connection: AsyncConnection) -> None:
    """What is kept is what counting anew gives."""
    for kept in ("person", "group"):
        counted = await table(
            connection,
            f"""SELECT s.session_id, p.{kept}_id, count(*) FROM session_assets s
            JOIN face_places p ON p.asset_id = s.asset_id WHERE p.shown AND p.{kept}_id IS NOT NULL
            GROUP BY 1, 2 ORDER BY 1, 2""",  # noqa: S608 - one of two
        )
        there = await table(connection, f"SELECT * FROM session_{kept}s ORDER BY 1, 2")  # noqa: S608 - one of two
        assert there == counted
    counted = await table(
        connection,
        """SELECT s.session_id, count(p.group_id), count(p.person_id) FROM session_assets s
        JOIN face_places p ON p.asset_id = s.asset_id AND p.shown WHERE coalesce(p.group_id, p.person_id) IS NOT NULL
        GROUP BY 1 ORDER BY 1""",
    )
    assert await table(connection, "SELECT * FROM session_faces ORDER BY 1") == counted


async def regroup(connection: AsyncConnection, session_id: int, *members: list[int]) -> None:
    await replace_clustering(
        connection,
        former=await remember_persons(connection, model_id=FACES),
        session_id=session_id,
        model_id=FACES,
        parameters={},
        face_count=6,
        groups=[NewGroup(face_ids=ids, probabilities=[0.9] * len(ids), cohesion=0.8) for ids in members],
    )


async def grouped(connection: AsyncConnection) -> tuple[int, list[int]]:
    """A session over all PATHS with two faces in each photo, in two groups; returns it and the ids of the faces."""
    session_id = await new_session(connection, paths=PATHS)
    run = await begin(connection, session_id, "face_detection", model=FACES)
    outcomes = [detected(item, 1.0, 2.0) for item in await items_of(connection, run)]
    await results.write_outcomes(connection, run, outcomes, model_id=FACES)
    ids = [row[0] for row in await table(connection, "SELECT id FROM faces ORDER BY asset_id, position")]
    await regroup(connection, session_id, ids[:4], ids[4:])
    return session_id, ids


async def test_they_are_counted_by_a_clustering_and_by_a_session_over_the_same_photos(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await grouped(connection)
        await assert_counted(connection)
        over_one = await new_session(connection, paths=PATHS[:1])
        await assert_counted(connection)

        listed, total = await persons.list_persons(connection, session_id=over_one, offset=0, limit=10)
        assert (len(listed), total, listed[0].face_count) == (1, 1, 4)
        _, of_all = await persons.list_persons(connection, session_id=session_id, offset=0, limit=10)
        assert of_all == 2

        await regroup(connection, session_id, ids[:2], ids[2:])
        await assert_counted(connection)


async def test_pages_of_a_sessions_groups_come_in_one_order_from_either_end(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await grouped(connection)
        await regroup(connection, session_id, ids[:3], ids[3:5], ids[5:])
        pages = [
            await groups.list_groups(connection, session_id=session_id, offset=offset, limit=1) for offset in range(4)
        ]

    assert [[group.face_count for group in page] for page, _ in pages] == [[3], [2], [1], []]
    assert {total for _, total in pages} == {3}


async def test_they_are_counted_when_people_correct_faces_and_merge_persons(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        _, ids = await grouped(connection)
        await corrections.say_who(connection, ids[0], None)
        await assert_counted(connection)
        await corrections.say_who_not(connection, ids[1])
        await assert_counted(connection)
        listed, _ = await persons.list_persons(connection, offset=0, limit=10)
        await corrections.merge_persons(connection, listed[0].id, [listed[1].id])
        await assert_counted(connection)


async def test_they_are_counted_while_photos_are_missing_or_searched_again(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await grouped(connection)
        await connection.execute(text("UPDATE assets SET missing_at = now() WHERE path = '/photos/a'"))
        await assert_counted(connection)
        assert await table(connection, "SELECT sum(face_count) FROM session_persons") == [(4,)]
        again = await new_session(connection)
        await photos.add_photos(connection, again, [found(PATHS[0], size=11)])
        run = await begin(connection, again, "face_detection", model=FACES)
        outcomes = [detected(item, 1.0) for item in await items_of(connection, run)]
        await results.write_outcomes(connection, run, outcomes, model_id=FACES)
        await assert_counted(connection)


async def test_nothing_stays_of_a_session_whose_photos_are_forgotten_or_that_is_deleted(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, _ = await grouped(connection)
        other = await new_session(connection, paths=PATHS[1:])
        await photos.forget_discovery(connection, other)
        await assert_counted(connection)
        await connection.execute(text("DELETE FROM sessions WHERE id = :id"), {"id": session_id})
        assert await table(connection, "SELECT * FROM session_persons") == []
        assert await table(connection, "SELECT * FROM session_groups") == []
        assert await table(connection, "SELECT * FROM session_faces") == []
