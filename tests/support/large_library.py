"""A library of many photos in a catalogue, as discovery, the phases and people would have left it.

Rows are made by PostgreSQL itself, with triggers and foreign keys out of the way; the counters that triggers keep are
filled at the end. Embeddings have 8 dimensions: no list reads them, and what is measured is the lists.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

SESSIONS: Final = 100
MODEL: Final = "benchmark/1"
FACES_MODEL: Final = "benchmark-faces/1"
_LARGEST_SHARE: Final = 0.3
_TINY_SESSIONS: Final = 20
_TINY_PHOTOS: Final = 10
_PHOTOS_PER_DIRECTORY: Final = 2_000
_PROBLEM_SHARE: Final = 0.1
_FACES_OF_TEN_PHOTOS: Final = (0, 0, 1, 1, 1, 1, 1, 2, 2, 3)
_PHOTOS_PER_GROUP: Final = 33
_STATEMENT_SECONDS: Final = 600.0

_SESSIONS: Final = """
    INSERT INTO sessions (name, status, root_path, weights, category_id, started_at, discovered_at, completed_at)
    SELECT 'Session ' || n, (ARRAY['completed','completed','completed','paused','failed','cancelled','running',
            'pending'])[n % 8 + 1],
        convert_to($1 || '/session-' || lpad(n::text, 3, '0'), 'UTF8'),
        '{"training": 0.3, "face_detection": 0.65, "clustering": 0.05}',
        (SELECT id FROM categories WHERE name = 'Category ' || n % 30),
        now(), CASE WHEN n % 16 <> 6 THEN now() END, CASE WHEN n % 8 IN (0, 1, 2, 4, 5) THEN now() END
    FROM generate_series(0, $2 - 1) AS n ORDER BY n RETURNING id"""
"""Every eighth session runs, half of these still look for photos; the first one is completed."""
_RUNS: Final = """
    INSERT INTO runs (session_id, phase, number, status, shard_size, total, done, started_at)
    SELECT s.id, phase, 1, s.status, 64, size, size, now()
    FROM unnest($1::bigint[], $2::bigint[]) AS sizes(id, size) JOIN sessions s ON s.id = sizes.id,
        unnest(ARRAY['training', 'face_detection', 'clustering']) AS phase
    ORDER BY s.id, phase DESC"""
_LEASES: Final = """
    INSERT INTO leases (session_id, holder, epoch, expires_at)
    SELECT id, 'benchmark', 1, now() + interval '1 day' FROM sessions WHERE status = 'running'"""
_DIRECTORIES: Final = """
    INSERT INTO directories (path)
    SELECT convert_to(convert_from(root_path, 'UTF8') || '/' || lpad(n::text, 4, '0'), 'UTF8')
    FROM sessions, generate_series(0, $2::bigint - 1) AS n WHERE id = $1 ORDER BY n RETURNING id"""
_CHOSEN: Final = """
    INSERT INTO session_directories (session_id, path)
    SELECT $1, path FROM directories WHERE id = ANY($2::bigint[]) ORDER BY id"""
_ASSETS: Final = """
    WITH photos AS (
        INSERT INTO assets (path, directory_id, size_bytes, modified_ns, width, height, taken_at, trained_at)
        SELECT d.path || convert_to('/IMG_' || lpad(n::text, 8, '0') || '.jpg', 'UTF8'), d.id,
            1000000 + n * 7919 % 5000000, n, 4000, 3000, '2026-01-12T10:00:00',
            CASE WHEN n % 20 > 0 THEN now() END
        FROM generate_series(0, $3::bigint - 1) AS n
        JOIN directories d ON d.id = ($2::bigint[])[n / $4::bigint + 1]
        ORDER BY n RETURNING id)
    INSERT INTO session_assets (session_id, asset_id, status, error_phase, error_code, error_message, completed_at)
    SELECT $1, id, status, CASE status WHEN 'failed' THEN 'training' END, CASE status WHEN 'failed' THEN 'corrupt' END,
        CASE status WHEN 'failed' THEN 'The picture is damaged.' END, CASE WHEN status <> 'pending' THEN now() END
    FROM (SELECT id, CASE WHEN id % 100 < 3 THEN 'failed' WHEN id % 100 < 8 THEN 'pending'
        WHEN id % 100 < 20 THEN 'skipped' ELSE 'completed' END AS status FROM photos ORDER BY id) numbered"""
_ITEMS: Final = """
    INSERT INTO run_items (run_id, ordinal, asset_id, state)
    SELECT r.id, row_number() OVER (PARTITION BY r.id ORDER BY hashint8(s.asset_id), s.asset_id) - 1, s.asset_id,
        CASE WHEN s.id % 10 < 8 THEN 'done' ELSE 'pending' END
    FROM session_assets s JOIN runs r ON r.session_id = s.session_id AND r.phase IN ('training', 'face_detection')"""
_PROBLEMS: Final = """
    INSERT INTO session_problems (session_id, path, code, message)
    SELECT $1, convert_to('/benchmark/unreadable-' || n, 'UTF8'), 'permission_denied', 'The file may not be read.'
    FROM generate_series(1, $2::bigint) AS n"""
_VECTOR: Final = "('[' || repeat(({seed} % 1000)::float / 1000 || ',', 7) || '1]')::vector"
_EMBEDDINGS: Final = f"""
    INSERT INTO embeddings (asset_id, model_id, generation, asset_version, embedding)
    SELECT id, '{MODEL}', 1, 1, {_VECTOR.format(seed="id")} FROM assets WHERE trained_at IS NOT NULL ORDER BY id"""  # noqa: S608
_SCANS: Final = f"""
    INSERT INTO face_scans (asset_id, model_id, generation, asset_version, face_count)
    SELECT id, '{FACES_MODEL}', 1, 1, ($1::int[])[id % 10 + 1] FROM assets ORDER BY id"""  # noqa: S608 - constants
_FACES: Final = f"""
    INSERT INTO faces (asset_id, model_id, generation, position, x, y, width, height, landmarks, score, embedding)
    SELECT a.id, '{FACES_MODEL}', 1, position, 0.2 * position, 0.2, 0.15, 0.2,
        '[[0.1,0.1],[0.1,0.1],[0.1,0.1],[0.1,0.1],[0.1,0.1]]', 0.9, {_VECTOR.format(seed="a.id")}
    FROM assets a JOIN generate_series(0, 2) AS position ON position < ($1::int[])[a.id % 10 + 1]
    ORDER BY a.id, position"""  # noqa: S608 - constants
_PERSONS: Final = """
    INSERT INTO persons (name, name_folded, status)
    SELECT CASE WHEN n % 10 = 0 THEN 'Person ' || n END, CASE WHEN n % 10 = 0 THEN 'person ' || n END,
        CASE WHEN n % 20 = 1 THEN 'hidden' ELSE 'active' END
    FROM generate_series(1, $1::bigint) AS n"""
_CLUSTERING: Final = f"""
    INSERT INTO clusterings (model_id, parameters, face_count, active)
    SELECT '{FACES_MODEL}', '{{}}', count(*), true FROM faces RETURNING id"""  # noqa: S608 - constants
_GROUPS: Final = """
    INSERT INTO groups (clustering_id, person_id, face_count, cohesion)
    SELECT $1, CASE WHEN id % 15 > 0 THEN id END, 0, 0.8 FROM persons ORDER BY id"""
_PLACES: Final = """
    INSERT INTO face_places (face_id, clustering_id, asset_id, group_id, person_id, probability)
    SELECT f.id, $1, f.asset_id, g.id, g.person_id, CASE WHEN g.id IS NOT NULL THEN 0.5 + (f.id % 1000) / 2000.0 END
    FROM (SELECT id, asset_id, CASE WHEN id % 12 > 0 THEN
            floor($2::bigint * power((hashint8(id)::bigint + 2147483648) / 4294967296.0, 2.5)) END AS place
        FROM faces) f
    LEFT JOIN (SELECT id, person_id, row_number() OVER (ORDER BY id) - 1 AS place FROM groups) g ON g.place = f.place
    ORDER BY f.id"""
"""The first groups have most faces, and a session has faces of nearly all of them: the hardest case for its lists."""
_CHANGED_PERSONS: Final = """
    INSERT INTO changed_persons (run_id, kind, person_id, name, into_id, faces)
    SELECT r.id, 'split', p.id, p.name, p.id + 1, 3 FROM runs r JOIN persons p ON p.name IS NOT NULL
    WHERE r.phase = 'clustering' AND (r.session_id = $1 OR p.id % 1000 = 0) ORDER BY r.id, p.id"""
"""All that have a name in one session, a few in each of the others."""

COUNTERS: Final = (
    """INSERT INTO session_job_counts (session_id, status, count)
    SELECT session_id, status, count(*) FROM session_assets GROUP BY session_id, status""",
    """UPDATE directories d SET photo_count = c.photos, trained_count = c.trained, last_trained_at = c.moment
    FROM (SELECT directory_id, count(*) AS photos, count(trained_at) AS trained, max(trained_at) AS moment
        FROM assets GROUP BY directory_id) c WHERE c.directory_id = d.id""",
    """UPDATE persons p SET face_count = c.faces, asset_count = c.photos, cover_face_id = c.cover
    FROM (SELECT person_id, count(*) AS faces, count(DISTINCT asset_id) AS photos, min(face_id) AS cover
        FROM face_places WHERE person_id IS NOT NULL GROUP BY person_id) c WHERE c.person_id = p.id""",
    """UPDATE groups g SET face_count = c.faces
    FROM (SELECT group_id, count(*) AS faces FROM face_places WHERE group_id IS NOT NULL GROUP BY group_id) c
    WHERE c.group_id = g.id""",
    "DELETE FROM groups WHERE face_count = 0",
    """UPDATE clusterings SET group_count = (SELECT count(*) FROM groups), unassigned_count = (
        SELECT count(*) FROM face_places WHERE group_id IS NULL AND person_id IS NULL)""",
    *(
        f"""INSERT INTO session_{one}s (session_id, {one}_id, face_count)
        SELECT s.session_id, p.{one}_id, count(*) FROM face_places p JOIN session_assets s ON s.asset_id = p.asset_id
        WHERE p.{one}_id IS NOT NULL GROUP BY s.session_id, p.{one}_id"""  # noqa: S608 - one of two
        for one in ("person", "group")
    ),
    """INSERT INTO session_faces (session_id, in_groups, of_persons)
    SELECT s.session_id, count(p.group_id), count(p.person_id)
    FROM face_places p JOIN session_assets s ON s.asset_id = p.asset_id
    WHERE coalesce(p.group_id, p.person_id) IS NOT NULL GROUP BY s.session_id""",
    "INSERT INTO person_counts (status, count) SELECT status, count(*) FROM persons GROUP BY status",
)
"""What triggers would have counted."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """What was made, and which of it the lists are asked for."""

    root: Path
    session_ids: tuple[int, ...]
    """The first is the largest, the last a tiny one."""
    photos: int
    faces: int
    persons: int

    @property
    def largest_session_id(self) -> int:
        """With 30 % of the photos."""
        return self.session_ids[0]


def session_sizes(photos: int) -> list[int]:
    """Photos of each session, together so many: one of 30 %, some tiny ones, the others by Zipf's law."""
    largest = int(photos * _LARGEST_SHARE)
    tiny = [_TINY_PHOTOS] * _TINY_SESSIONS
    shares = [1 / (number + 2) for number in range(SESSIONS - 1 - _TINY_SESSIONS)]
    rest = photos - largest - sum(tiny)
    middle = [int(rest * share / sum(shares)) for share in shares]
    middle[0] += rest - sum(middle)
    return [largest, *middle, *tiny]


async def fill(database_url: str, *, photos: int, root: Path, persons: int | None = None) -> Library:
    """Fill an empty catalogue; directories are made under ``root`` without the photos.

    There is a person for every 33 photos unless it is said how many there are, and a group for each.
    """
    connection = await asyncpg.connect(database_url, command_timeout=_STATEMENT_SECONDS)
    try:
        await connection.execute("SET session_replication_role = replica")
        sizes = session_sizes(photos)
        session_ids = await _add_sessions(connection, sizes, root=root)
        await connection.execute("VACUUM ANALYZE")
        await _add_results(connection, persons or max(10, photos // _PHOTOS_PER_GROUP))
        await connection.execute(_CHANGED_PERSONS, session_ids[0])
        for statement in COUNTERS:
            await connection.execute(statement)
        await connection.execute("VACUUM ANALYZE")
        return Library(
            root=root,
            session_ids=tuple(session_ids),
            photos=photos,
            faces=await connection.fetchval("SELECT count(*) FROM faces"),
            persons=await connection.fetchval("SELECT count(*) FROM persons"),
        )
    finally:
        await connection.close()


async def _add_sessions(connection: asyncpg.Connection, sizes: Sequence[int], *, root: Path) -> list[int]:
    await connection.execute(
        "INSERT INTO categories (name) SELECT 'Category ' || n FROM generate_series(0, 29) AS n ORDER BY n"
    )
    # At once: a gateway that meets a running session without a lease would take it up.
    async with connection.transaction():
        session_ids = [row["id"] for row in await connection.fetch(_SESSIONS, str(root), len(sizes))]
        await connection.execute(_RUNS, session_ids, list(sizes))
        await connection.execute(_LEASES)
    for session_id, size in zip(session_ids, sizes, strict=True):
        number = max(3, size // _PHOTOS_PER_DIRECTORY)
        directory_ids = [row["id"] for row in await connection.fetch(_DIRECTORIES, session_id, number)]
        await connection.execute(_CHOSEN, session_id, directory_ids)
        await connection.execute(_ASSETS, session_id, directory_ids, size, -(-size // number))
        await connection.execute(_PROBLEMS, session_id, int(size * _PROBLEM_SHARE))
    await asyncio.to_thread(_make, [row["path"] for row in await connection.fetch("SELECT path FROM directories")])
    return session_ids


def _make(directories: Sequence[bytes]) -> None:
    for path in directories:
        Path(path.decode()).mkdir(parents=True)


async def _add_results(connection: asyncpg.Connection, persons: int) -> None:
    await connection.execute(_ITEMS)
    await connection.execute(_EMBEDDINGS)
    await connection.execute(_SCANS, list(_FACES_OF_TEN_PHOTOS))
    await connection.execute(_FACES, list(_FACES_OF_TEN_PHOTOS))
    await connection.execute(_PERSONS, persons)
    clustering_id = await connection.fetchval(_CLUSTERING)
    await connection.execute(_GROUPS, clustering_id)
    await connection.execute("ANALYZE")
    await connection.execute(_PLACES, clustering_id, persons)
