"""Upgrading a catalogue that has people in it, and going back, on a real PostgreSQL."""

from collections.abc import AsyncIterator

import pytest_asyncio
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tests.support.catalogue import table
from tests.support.people import who, wrong_counters
from triptych_gateway.catalog.database import alembic_config

BEFORE = [
    "INSERT INTO sessions (name, root_path, weights) VALUES ('n', '/p', '{}')",
    """INSERT INTO assets (path, size_bytes, modified_ns, missing_at)
       SELECT CAST('/p/' || n AS bytea), 1, 1, CASE WHEN n = 3 THEN now() END FROM generate_series(1, 4) n""",
    """INSERT INTO face_scans (asset_id, model_id, generation, asset_version, face_count)
       SELECT id, 'faces/1', 1, 1, 1 FROM assets""",
    """INSERT INTO faces
           (asset_id, model_id, generation, position, x, y, width, height, landmarks, score, embedding)
       SELECT id, 'faces/1', 1, 0, 0.1, 0.1, 0.2, 0.2, '[]', 0.9, '[1]' FROM assets ORDER BY id""",
    "INSERT INTO persons (name, cover_face_id) VALUES ('Ödön', 1), (NULL, 3)",
    """INSERT INTO clusterings (session_id, model_id, parameters, face_count, active)
       VALUES (1, 'faces/1', '{}', 4, true)""",
    "INSERT INTO groups (clustering_id, person_id, face_count, cohesion) VALUES (1, 1, 2, 0.8), (1, 2, 1, 0.5)",
    "INSERT INTO group_faces (group_id, face_id, probability) VALUES (1, 1, 1), (1, 2, 0.5), (2, 3, 1)",
]
"""Faces 1 and 2 are a named person's, 3 is another's in a photo that is missing, 4 is nobody's."""


@pytest_asyncio.fixture
async def plain_engine(empty_database_url: str) -> AsyncIterator[AsyncEngine]:
    """Connections that do not know the vector type, which is not there yet."""
    engine = create_async_engine(make_url(empty_database_url).set(drivername="postgresql+asyncpg"))
    yield engine
    await engine.dispose()


async def _migrate(engine: AsyncEngine, *, to: str) -> None:
    def work(connection: Connection) -> None:
        there = connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar_one()
        held = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() if there else "0000"
        (command.downgrade if to < held else command.upgrade)(alembic_config(connection), to)

    async with engine.connect() as connection:
        await connection.run_sync(work)
        await connection.commit()


async def _people_of_0003(connection: AsyncConnection) -> list[list[tuple[object, ...]]]:
    return [
        await table(connection, "SELECT id, name, status, cover_face_id FROM persons ORDER BY id"),
        await table(connection, "SELECT id, person_id, face_count FROM groups ORDER BY id"),
        await table(connection, "SELECT group_id, face_id, probability FROM group_faces ORDER BY face_id"),
    ]


async def test_people_are_carried_to_places_and_back(plain_engine: AsyncEngine) -> None:
    await _migrate(plain_engine, to="0003")
    async with plain_engine.begin() as connection:
        for statement in BEFORE:
            await connection.execute(text(statement))
        before = await _people_of_0003(connection)

    await _migrate(plain_engine, to="0004")
    async with plain_engine.begin() as connection:
        assert await who(connection) == {1: 1, 2: 1, 4: None}
        assert await wrong_counters(connection) == []
        assert await table(connection, "SELECT name_folded, face_count, asset_count FROM persons ORDER BY id") == [
            ("ödön", 2, 2),
            (None, 0, 0),
        ]
        assert await table(connection, "SELECT group_count, unassigned_count FROM clusterings") == [(2, 1)]
        # The missing photo comes back.
        await connection.execute(text("UPDATE assets SET missing_at = NULL"))
        assert (await who(connection))[3] == 2
        assert await wrong_counters(connection) == []

    await _migrate(plain_engine, to="0003")
    async with plain_engine.begin() as connection:
        assert await _people_of_0003(connection) == before
        # What writes there is not held up by anything that was left behind.
        await connection.execute(text("UPDATE assets SET missing_at = now()"))
        await connection.execute(text("DELETE FROM clusterings"))
    await _migrate(plain_engine, to="0004")
    async with plain_engine.begin() as connection:
        assert await table(connection, "SELECT count(*) FROM face_places") == [(0,)]


async def test_past_runs_and_a_kept_graph_go_and_come(plain_engine: AsyncEngine) -> None:
    await _migrate(plain_engine, to="0008")
    async with plain_engine.begin() as connection:
        await connection.execute(
            text("""
                INSERT INTO phase_history (phase, model_id, device, items, seconds)
                VALUES ('clustering', 'faces/1', 'cpu', 100, 2)""")
        )

    await _migrate(plain_engine, to="0009")
    async with plain_engine.begin() as connection:
        assert await table(connection, "SELECT method, seconds FROM phase_history") == [("full", 2.0)]
        for statement in (
            """INSERT INTO phase_history (phase, model_id, device, items, seconds, method)
               VALUES ('clustering', 'faces/1', 'cpu', 100, 0.2, 'incremental')""",
            """INSERT INTO kept_graphs (model_id, version, face_count, group_count, most_new_faces)
               VALUES ('faces/1', '1', 1, 1, 1)""",
            "INSERT INTO kept_faces VALUES (1, 7, '', '', 7, 5, -1, 0)",
            "INSERT INTO kept_groups VALUES (1, 9, '', '')",
        ):
            await connection.execute(text(statement))

    await _migrate(plain_engine, to="0008")
    async with plain_engine.begin() as connection:
        # The times of runs of another kind would be taken for those of runs of all faces.
        assert await table(connection, "SELECT seconds FROM phase_history") == [(2.0,)]
    await _migrate(plain_engine, to="0009")
    async with plain_engine.begin() as connection:
        assert await table(connection, "SELECT count(*) FROM kept_graphs") == [(0,)]


async def test_places_in_runs_go_with_their_photos_with_and_without_references(plain_engine: AsyncEngine) -> None:
    places = "SELECT ordinal, asset_id, state FROM run_items ORDER BY ordinal"
    await _migrate(plain_engine, to="0012")
    async with plain_engine.begin() as connection:
        for statement in (
            "INSERT INTO sessions (name, root_path, weights) VALUES ('n', '/p', '{}')",
            "INSERT INTO runs (session_id, phase, number, shard_size) VALUES (1, 'training', 1, 2)",
            """INSERT INTO assets (path, size_bytes, modified_ns)
               SELECT CAST('/p/' || n AS bytea), 1, 1 FROM generate_series(1, 4) n""",
            """INSERT INTO run_items (run_id, ordinal, asset_id, state)
               SELECT 1, id - 1, id, CASE WHEN id = 1 THEN 'done' ELSE 'pending' END FROM assets""",
        ):
            await connection.execute(text(statement))
        before = await table(connection, places)

    await _migrate(plain_engine, to="0013")
    async with plain_engine.begin() as connection:
        assert await table(connection, places) == before
        await connection.execute(text("DELETE FROM assets WHERE id IN (1, 3)"))
        assert await table(connection, places) == [(1, 2, "pending"), (3, 4, "pending")]
        # A place may be left behind by a photo whose row goes while the run is planned.
        await connection.execute(text("INSERT INTO run_items (run_id, ordinal, asset_id) VALUES (1, 4, 99)"))

    await _migrate(plain_engine, to="0012")
    async with plain_engine.begin() as connection:
        assert await table(connection, places) == [(1, 2, "pending"), (3, 4, "pending")]
        await connection.execute(text("DELETE FROM assets WHERE id = 2"))
        assert await table(connection, places) == [(3, 4, "pending")]
    await _migrate(plain_engine, to="0013")
    async with plain_engine.begin() as connection:
        await connection.execute(text("DELETE FROM sessions"))
        assert await table(connection, places) == []
