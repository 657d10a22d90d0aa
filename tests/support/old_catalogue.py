"""A catalogue as the first release left it: rows of revision 0001, and the way from there to any other revision."""

from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from triptych_gateway.catalog.database import alembic_config

FIRST_REVISION: Final = "0001"
EMBEDDED_AT: Final = datetime(2026, 1, 12, 10, tzinfo=UTC)
EMBEDDED_AGAIN_AT: Final = datetime(2026, 2, 1, 10, tzinfo=UTC)
"""When another model embedded the first photo."""

WHOLE_ROOT, CHOSEN, ROOT_AND_CHOSEN, PENDING, WITHOUT_FACES = range(1, 6)
"""Sessions: over all of its root; over chosen directories; over both; one that never began; one that was trained
before faces were looked for, with no run of the later phases."""
CHOSEN_DIRECTORIES: Final = (b"/photos/caf\xe9 au lait", b"/photos/100%", b"/photos/new\nline")

ASSETS: Final = (
    b"/photos/a/1.jpg",
    b"/photos/caf\xe9 au lait/2.jpg",
    b"/photos/caf\xe9 au lait/3.jpg",
    b"/photos/new\nline/4.jpg",
    b"/5.jpg",
    b"/photos/a/6.jpg",
)
"""Their ids count from 1. The last one has changed since it was embedded; the fourth was never embedded."""

_WEIGHTS: Final = """'{"training": 0.3, "face_detection": 0.65, "clustering": 0.05}'"""
_MODEL: Final = """'{"id": "clip/1", "pack": "bundled", "device": "cpu", "notice": ""}'"""
_ROWS: Final = (
    "INSERT INTO categories (name, description) VALUES ('Travel', 'Far away')",
    f"""INSERT INTO sessions (name, status, root_path, subdirectories, weights, category_id, discovered_at, started_at,
            completed_at) VALUES
        ('whole root', 'completed', '/photos', '[]', {_WEIGHTS}, 1, now(), now(), now()),
        ('chosen', 'paused', '/photos', '["file:///photos/caf%E9%20au%20lait", "file:///photos/100%25",
            "file:///photos/new%0Aline", "file:///photos/100%25"]', {_WEIGHTS}, NULL, now(), now(), NULL),
        ('root and chosen', 'failed', '/photos', '["file:///photos", "file:///photos/a"]', {_WEIGHTS}, NULL, now(),
            now(), now()),
        ('pending', 'pending', '/photos', '[]', {_WEIGHTS}, NULL, NULL, NULL, NULL),
        ('without faces', 'completed', '/photos/a', '[]', {_WEIGHTS}, NULL, now(), now(), now())""",  # noqa: S608
    f"""INSERT INTO runs (session_id, phase, number, status, model, shard_size, total, done, started_at, completed_at)
        SELECT s.id, phase, 1, CASE WHEN s.status = 'failed' AND phase <> 'training' THEN 'pending' ELSE s.status END,
            {_MODEL}, 64, 3, 2, now(), s.completed_at
        FROM sessions s, unnest(ARRAY['training', 'face_detection', 'clustering']) AS phase
        WHERE s.name <> 'without faces' ORDER BY s.id, phase""",  # noqa: S608 - constants
    f"""INSERT INTO runs (session_id, phase, number, status, model, shard_size, total, skipped, done, started_at,
            completed_at, prior_seconds_per_item)
        VALUES ({WITHOUT_FACES}, 'training', 1, 'completed', {_MODEL}, 64, 2, 1, 1, now(), now(), 0.5)""",  # noqa: S608
    """INSERT INTO session_assets (session_id, asset_id, status, error_phase, error_code, error_message) VALUES
        (1, 1, 'completed', NULL, NULL, NULL), (1, 2, 'skipped', NULL, NULL, NULL),
        (1, 3, 'failed', 'training', 'corrupt', 'The picture is damaged.'), (2, 2, 'completed', NULL, NULL, NULL),
        (2, 3, 'pending', NULL, NULL, NULL), (2, 4, 'pending', NULL, NULL, NULL),
        (3, 5, 'failed', 'training', 'corrupt', 'The picture is damaged.'),
        (5, 1, 'completed', NULL, NULL, NULL), (5, 6, 'skipped', NULL, NULL, NULL)""",
    "INSERT INTO session_problems (session_id, path, code, message) VALUES (1, '/photos/locked', 'not_found', 'm')",
    """INSERT INTO run_items (run_id, ordinal, asset_id, state)
        SELECT r.id, row_number() OVER (PARTITION BY r.id ORDER BY s.asset_id) - 1, s.asset_id, 'pending'
        FROM runs r JOIN session_assets s ON s.session_id = r.session_id WHERE r.phase = 'training' AND r.session_id = 2
    """,
    """INSERT INTO face_scans (asset_id, model_id, generation, asset_version, face_count) VALUES
        (1, 'faces/1', 1, 1, 2), (2, 'faces/1', 1, 1, 1), (3, 'faces/1', 1, 1, 0)""",
    """INSERT INTO faces (asset_id, model_id, generation, position, x, y, width, height, landmarks, score, embedding)
        SELECT asset_id, 'faces/1', 1, position, 0.1 + 0.4 * position, 0.2, 0.3, 0.4,
            '[[0.1, 0.1], [0.1, 0.1], [0.1, 0.1], [0.1, 0.1], [0.1, 0.1]]', 0.9, '[1, 2, 3, 4]'
        FROM (VALUES (1, 0), (1, 1), (2, 0)) AS found(asset_id, position)""",
    """INSERT INTO persons (name, status, cover_face_id) VALUES ('Ünal Ağa', 'active', 1), (NULL, 'hidden', 2)""",
    """INSERT INTO clusterings (session_id, model_id, parameters, face_count, active) VALUES
        (1, 'faces/1', '{}', 2, false), (1, 'faces/1', '{}', 3, true)""",
    """INSERT INTO groups (clustering_id, person_id, face_count, cohesion) VALUES
        (1, 1, 2, 0.7), (2, 1, 2, 0.8), (2, 2, 1, 1.0)""",
    """INSERT INTO group_faces (group_id, face_id, probability) VALUES
        (1, 1, 0.5), (1, 2, 0.5), (2, 1, 0.9), (2, 3, 0.7), (3, 2, 1.0)""",
    "INSERT INTO phase_history (phase, model_id, device, items, seconds) VALUES ('training', 'clip/1', 'cpu', 3, 1)",
)
_EMBEDDING: Final = """
    INSERT INTO embeddings (asset_id, model_id, generation, asset_version, embedding, created_at)
    VALUES ($1, $2, 1, $3, '[1, 2, 3, 4]', $4)"""


async def change_revision(database_url: str, revision: str) -> None:
    """Upgrade or downgrade to a revision, whichever leads there; ``-1`` is one back."""
    engine = create_async_engine(make_url(database_url).set(drivername="postgresql+asyncpg"))

    def change(connection: Connection) -> None:
        present = connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar_one()
        number = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if present else ""
        back = revision.startswith("-") or revision < (number or "")
        (command.downgrade if back else command.upgrade)(alembic_config(connection), revision)

    try:
        async with engine.connect() as connection:
            await connection.run_sync(change)
            await connection.commit()
    finally:
        await engine.dispose()


async def write_old_rows(database_url: str) -> None:
    """Bring an empty database to the first revision, and fill it."""
    await change_revision(database_url, FIRST_REVISION)
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.executemany(
                "INSERT INTO assets (path, size_bytes, modified_ns, version) VALUES ($1, 10, 1, $2)",
                [(path, 2 if path.endswith(b"6.jpg") else 1) for path in ASSETS],
            )
            for statement in _ROWS:
                await connection.execute(statement)
            await connection.executemany(_EMBEDDING, _embeddings())
    finally:
        await connection.close()


def _embeddings() -> list[tuple[Any, ...]]:
    first_model = [(asset_id, "clip/1", 1, EMBEDDED_AT) for asset_id in (1, 2, 3, 5, 6)]
    # In either order, so that the migration cannot take the right one by chance.
    other_model = [(1, "clip/0", 1, EMBEDDED_AGAIN_AT), (2, "clip/2", 1, EMBEDDED_AGAIN_AT)]
    return [*other_model[:1], *first_model, *other_model[1:]]
