"""The catalogue on a real PostgreSQL: faces, groups and persons."""

from collections.abc import Sequence

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import FACES, begin, detected, found, items_of, new_session, table
from triptych_gateway.catalog.clustering import face_space
from triptych_gateway.catalog.clustering.former_persons import remember_persons
from triptych_gateway.catalog.clustering.regrouping import NewGroup, replace_clustering
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.people import faces, groups
from triptych_gateway.catalog.runs import lifecycle, results


async def with_faces(connection: AsyncConnection, values: Sequence[Sequence[float]]) -> tuple[int, list[int]]:
    """A session with a photo for each of `values`, a face in it for each value; returns it and the faces' ids."""
    session_id = await new_session(connection, paths=[b"/photos/%03d" % n for n in range(len(values))])
    run = await begin(connection, session_id, "face_detection", model=FACES)
    outcomes = [detected(item, *of) for item, of in zip(await items_of(connection, run), values, strict=True)]
    await results.write_outcomes(connection, run, outcomes, model_id=FACES)
    return session_id, [row[0] for row in await table(connection, "SELECT id FROM faces ORDER BY id")]


def group(*face_ids: int) -> NewGroup:
    return NewGroup(face_ids=face_ids, probabilities=[1.0 / (n + 1) for n in range(len(face_ids))], cohesion=0.8)


async def regroup(
    connection: AsyncConnection, session_id: int, *found_groups: NewGroup
) -> list[tuple[int | None, int]]:
    """(person, faces) of the groups that are shown then, largest first."""
    await replace_clustering(
        connection,
        former=await remember_persons(connection, model_id=FACES),
        session_id=session_id,
        model_id=FACES,
        parameters={"ceiling": 0.5},
        face_count=9,
        groups=found_groups,
    )
    listed, total = await groups.list_groups(connection, session_id=None, offset=0, limit=100)
    assert total == len(found_groups)
    return [(one.person_id, one.face_count) for one in listed]


async def test_the_space_holds_the_faces_of_present_versions_with_their_vectors(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await with_faces(connection, [[1.0, 2.0], [], [3.0]])
        run = (await lifecycle.latest_runs(connection, session_id))["face_detection"]
        assert (run.done, run.failed, run.found) == (3, 0, 3)
        batches = [batch async for batch in face_space.read_space(connection, model_id=FACES, batch=2)]
        assert [batch.face_ids.tolist() for batch in batches] == [ids[:2], ids[2:]]
        assert np.concatenate([batch.vectors for batch in batches])[:, 0].tolist() == [1.0, 2.0, 3.0]
        assert batches[0].vectors.dtype == np.float32
        assert await face_space.count_space(connection, model_id=FACES) == 3
        assert await face_space.count_session_faces(connection, session_id, model_id=FACES) == 3

        await photos.add_photos(connection, session_id, [found(b"/photos/000", size=11)])
        assert await face_space.count_space(connection, model_id=FACES) == 1, (
            "what was found in the former file is void"
        )


async def test_the_size_of_a_face_is_that_of_its_box_in_pixels(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await with_faces(connection, [[1.0], [2.0]])
        await connection.execute(text("UPDATE assets SET width = 1000, height = 500 WHERE path = '/photos/000'"))

        (batch,) = [batch async for batch in face_space.read_space(connection, model_id=FACES)]

        # Its box is 0.3 wide and 0.4 high; of the second photo nothing is known.
        assert batch.sizes.tolist() == [200.0, 0.0]


async def test_detecting_again_replaces_the_faces_of_a_photo(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, _ = await with_faces(connection, [[1.0, 2.0]])
        await photos.add_photos(connection, session_id, [found(b"/photos/000", size=11)])
        again = await begin(connection, await new_session(connection, paths=[]), "face_detection", model=FACES)
        assert again.total == 0
        third = await new_session(connection)
        await photos.add_photos(connection, third, [found(b"/photos/000", size=11)])
        run = await begin(connection, third, "face_detection", model=FACES)
        await results.write_outcomes(
            connection, run, [detected(item, 5.0) for item in await items_of(connection, run)], model_id=FACES
        )

        assert await face_space.count_space(connection, model_id=FACES) == 1


async def test_regrouping_keeps_persons_and_their_names(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await with_faces(connection, [[float(n)] for n in range(6)])
        (ada, _), (ben, _) = await regroup(connection, session_id, group(*ids[:4]), group(*ids[4:]))
        await connection.execute(text("UPDATE persons SET name = 'Ada' WHERE id = :id"), {"id": ada})

        assert await regroup(connection, session_id, group(*ids[:3]), group(ids[3], ids[4])) == [(ada, 3), (ben, 2)]
        # Ada's faces are in no group for once: her name is not forgotten, though nobody shows her.
        assert await regroup(connection, session_id, group(*ids[4:])) == [(ben, 2)]
        assert await table(connection, "SELECT name FROM persons ORDER BY id") == [("Ada",), (None,)]
        assert await table(connection, "SELECT count(*) FROM clusterings") == [(1,)]
        assert await regroup(connection, session_id) == []
        assert await table(connection, "SELECT name FROM persons") == [("Ada",)]


async def test_a_group_shows_its_strongest_faces_first_and_a_session_its_own(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await with_faces(connection, [[float(n)] for n in range(3)])
        other = await new_session(connection)
        await regroup(connection, session_id, group(ids[2], ids[0], ids[1]))
        (listed,), _ = await groups.list_groups(connection, session_id=session_id, offset=0, limit=1)
        whole = await groups.get_group(connection, listed.id)

        assert [face.id for face in whole.faces] == [ids[2], ids[0], ids[1]]
        assert await groups.list_groups(connection, session_id=other, offset=0, limit=1) == ([], 0)
        assert await groups.count_session_groups(connection, session_id, model_id=FACES) == 1
        assert (await faces.get_face(connection, ids[2])).person_id == listed.person_id
        cover = await table(connection, "SELECT cover_face_id FROM persons")
        assert cover == [(ids[2],)]
        for get in (groups.get_group, faces.get_face):
            with pytest.raises(NotFoundError):
                await get(connection, 2**40)


async def test_faces_that_were_replaced_while_they_were_grouped_are_left_out(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, ids = await with_faces(connection, [[1.0], [2.0], [3.0]])
        await connection.execute(text("DELETE FROM faces WHERE id = ANY(:ids)"), {"ids": ids[1:]})
        await replace_clustering(
            connection,
            former=await remember_persons(connection, model_id=FACES),
            session_id=session_id,
            model_id=FACES,
            parameters={},
            face_count=3,
            groups=[group(ids[0], ids[1]), group(ids[2])],
        )
        listed, _ = await groups.list_groups(connection, session_id=None, offset=0, limit=10)

    assert [[face.id for face in one.faces] for one in listed] == [[ids[0]]]
    assert listed[0].face_count == 1
