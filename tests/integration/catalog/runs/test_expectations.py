"""The catalogue on a real PostgreSQL: how much work is ahead of a session."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import FACES, MODEL, begin, broken, detected, embedded, found, items_of, new_session
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.runs import results
from triptych_gateway.catalog.runs.expectations import (
    FacesSeen,
    expect_clustering,
    expect_faces,
    expect_photos,
    faces_seen,
)

PATHS = [b"/photos/a", b"/photos/b", b"/photos/c", b"/photos/d"]


async def ahead(connection: AsyncConnection, session_id: int, *, model: str = MODEL, generation: int = 1) -> float:
    expected = await expect_photos(connection, session_id, phase="training", model_id=model, generation=generation)
    return expected.items


async def test_photos_with_a_result_of_this_model_and_generation_are_no_work(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=PATHS)
        run = await begin(connection, session_id)
        one, two, *_ = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one), broken(two)], model_id=MODEL)

        assert await ahead(connection, session_id) == 3, "a photo that failed is tried again"
        assert await ahead(connection, session_id, model="clip/2") == 4
        assert await ahead(connection, session_id, generation=2) == 4
        scans = await expect_photos(connection, session_id, phase="face_detection", model_id=MODEL, generation=1)
        assert scans.items == 4


async def test_a_photo_that_changed_since_is_work_again(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=PATHS)
        run = await begin(connection, session_id)
        await results.write_outcomes(
            connection, run, [embedded(item) for item in await items_of(connection, run)], model_id=MODEL
        )
        await photos.add_photos(connection, session_id, [found(PATHS[0], modified=2)])

        assert await ahead(connection, session_id) == 1


async def test_photos_of_other_sessions_are_not_counted(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=PATHS[:1])
        await new_session(connection, paths=PATHS)

        assert await ahead(connection, session_id) == 1


async def test_faces_are_expected_by_what_this_model_saw_and_by_what_a_probe_saw(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=PATHS)
        run = await begin(connection, session_id, "face_detection", model=FACES)
        one, two, *_ = await items_of(connection, run)
        await results.write_outcomes(connection, run, [detected(one, 1, 2, 3), detected(two)], model_id=FACES)

        seen, probed = FacesSeen(photos=2, faces=3), FacesSeen(photos=10, faces=40)
        assert await faces_seen(connection, model_id=FACES) == seen
        assert await faces_seen(connection, model_id="faces/2") == FacesSeen()
        assert await expect_clustering(connection, model_id=FACES, photos=2) == expect_faces(
            known=3, photos=2, seen=seen
        )
        assert await expect_clustering(connection, model_id=FACES, photos=2, probed=probed) == expect_faces(
            known=3, photos=2, seen=seen.and_also(probed)
        )
        await connection.execute(text("DELETE FROM faces"))
        assert (await expect_clustering(connection, model_id=FACES, photos=0)).items == 0
