"""Old data: migrations from the first one on, with rows in the tables, forwards and backwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.catalogue import table
from tests.support.old_catalogue import (
    ASSETS,
    CHOSEN,
    CHOSEN_DIRECTORIES,
    EMBEDDED_AGAIN_AT,
    EMBEDDED_AT,
    FIRST_REVISION,
    PENDING,
    ROOT_AND_CHOSEN,
    WHOLE_ROOT,
    WITHOUT_FACES,
    change_revision,
    write_old_rows,
)
from triptych_gateway.catalog.database import MIGRATIONS, create_engine
from triptych_gateway.catalog.people import faces, groups, persons
from triptych_gateway.catalog.runs import lifecycle
from triptych_gateway.catalog.schema import metadata
from triptych_gateway.catalog.sessions import jobs, sessions

REVISIONS = [one.revision for one in reversed(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions()))]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_engine(url)
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()


async def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables; directories by their paths, since their ids may differ."""
    async with connected(url) as connection:
        found = {}
        for one in metadata.sorted_tables:
            rows = await table(connection, f"SELECT to_jsonb(t) FROM {one.name} t")  # noqa: S608 - own tables
            found[one.name] = sorted(rows, key=str)
        found["assets"] = await table(
            connection,
            """SELECT a.id, a.path, d.path, to_jsonb(a) - 'directory_id' FROM assets a
            JOIN directories d ON d.id = a.directory_id ORDER BY a.id""",
        )
        found["directories"] = await table(
            connection, "SELECT path, to_jsonb(d) - 'id' FROM directories d ORDER BY path"
        )
        found["session_directories"] = await table(
            connection, "SELECT session_id, path, selected FROM session_directories ORDER BY session_id, id"
        )
    return found


async def upgraded(url: str) -> None:
    """Old rows, brought to the present step by step."""
    await write_old_rows(url)
    for revision in REVISIONS[1:]:
        await change_revision(url, revision)


async def test_sessions_keep_their_directories_jobs_and_runs(empty_database_url: str) -> None:
    await upgraded(empty_database_url)
    async with connected(empty_database_url) as connection:
        chosen = {one: await sessions.selected_directories(connection, one) for one in range(1, 6)}
        counted = {one: await jobs.count_jobs(connection, one) for one in chosen}
        listed, total = await sessions.list_sessions(connection, offset=0, limit=100, status=None)
        failed, _ = await jobs.list_jobs(connection, WHOLE_ROOT, offset=0, limit=10, status="failed")
        phases = {one: set(await lifecycle.latest_runs(connection, one)) for one in (CHOSEN, WITHOUT_FACES)}

    assert chosen == {
        WHOLE_ROOT: [b"/photos"],
        CHOSEN: list(CHOSEN_DIRECTORIES),
        ROOT_AND_CHOSEN: [b"/photos", b"/photos/a"],
        PENDING: [b"/photos"],
        WITHOUT_FACES: [b"/photos/a"],
    }
    assert counted == {
        WHOLE_ROOT: {"completed": 1, "skipped": 1, "failed": 1},
        CHOSEN: {"completed": 1, "pending": 2},
        ROOT_AND_CHOSEN: {"failed": 1},
        PENDING: {},
        WITHOUT_FACES: {"completed": 1, "skipped": 1},
    }
    assert total == len(chosen)
    by_id = {one.id: one for one in listed}
    assert {one: by_id[one].photos_found for one in by_id} == {1: 3, 2: 3, 3: 1, 4: 0, 5: 2}
    category = by_id[WHOLE_ROOT].category
    assert category is not None
    assert category.name == "Travel"
    assert by_id[WITHOUT_FACES].total == 2
    assert [(job.path, job.error_code) for job in failed] == [(ASSETS[2], "corrupt")]
    assert phases == {CHOSEN: set(sessions.PHASES), WITHOUT_FACES: {"training"}}


async def test_directories_count_their_photos_and_go_on_counting(empty_database_url: str) -> None:
    await upgraded(empty_database_url)
    query = "SELECT path, photo_count, trained_count, last_trained_at FROM directories ORDER BY path"
    async with connected(empty_database_url) as connection:
        counted = await table(connection, query)
        trained = await table(connection, "SELECT trained_at FROM assets ORDER BY id")
        await connection.exec_driver_sql("UPDATE assets SET trained_at = NULL WHERE id = 1")
        await connection.exec_driver_sql("UPDATE session_assets SET status = 'failed' WHERE session_id = 5")
        afterwards = await table(connection, query)
        assert await jobs.count_jobs(connection, WITHOUT_FACES) == {"failed": 2}

    assert counted == [
        (b"/", 1, 1, EMBEDDED_AT),
        (b"/photos/a", 2, 1, EMBEDDED_AGAIN_AT),
        (b"/photos/caf\xe9 au lait", 2, 2, EMBEDDED_AGAIN_AT),
        (b"/photos/new\nline", 1, 0, None),
    ]
    assert trained == [(EMBEDDED_AGAIN_AT,), (EMBEDDED_AGAIN_AT,), (EMBEDDED_AT,), (None,), (EMBEDDED_AT,), (None,)]
    assert [row[2] for row in afterwards] == [1, 0, 2, 0]


async def test_people_are_there_with_their_faces(empty_database_url: str) -> None:
    await upgraded(empty_database_url)
    async with connected(empty_database_url) as connection:
        known, total = await persons.list_persons(connection, offset=0, limit=10)
        searched, _ = await persons.list_persons(connection, offset=0, limit=10, name_part="ÜNAL")
        in_session, _ = await persons.list_persons(connection, offset=0, limit=10, session_id=CHOSEN)
        faces_of, _ = await faces.list_person_faces(connection, 1, offset=0, limit=10)
        grouped, groups_total = await groups.list_groups(connection, session_id=None, offset=0, limit=10)

    assert total == 2
    assert [(one.name, one.status, one.face_count, one.asset_count) for one in known] == [
        ("Ünal Ağa", "active", 2, 2),
        (None, "hidden", 1, 1),
    ]
    assert [one.id for one in searched] == [1]
    assert [one.id for one in in_session] == [1]
    assert [(face.id, face.asset_id) for face in faces_of] == [(1, 1), (3, 2)]
    assert [(group.face_count, group.person_id) for group in grouped] == [(2, 1), (1, 2)]
    assert groups_total == 2


@pytest.mark.parametrize("revision", REVISIONS[1:])
async def test_a_migration_can_be_taken_back_and_made_again(empty_database_url: str, revision: str) -> None:
    await upgraded(empty_database_url)
    before = await contents(empty_database_url)

    await change_revision(empty_database_url, REVISIONS[REVISIONS.index(revision) - 1])
    await change_revision(empty_database_url, REVISIONS[-1])

    assert await contents(empty_database_url) == before


async def test_the_old_rows_are_of_the_first_migration() -> None:
    assert REVISIONS[0] == FIRST_REVISION
