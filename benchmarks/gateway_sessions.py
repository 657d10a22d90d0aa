"""Live sessions in a stack's catalogue, as the pipeline would have written them, that no gateway takes for its own."""

from dataclasses import dataclass
from typing import Final

import asyncpg

PHOTOS: Final = 100_000
"""Photos of an ordinary session of the benchmark, by its runs; rows of photos has only a session of `add_photos`."""

_SESSIONS: Final = """
    INSERT INTO sessions (name, status, root_path, weights, started_at, discovered_at, prepared_at)
    SELECT 'benchmark', 'running', '/photos', '{"training": 0.3, "face_detection": 0.65, "clustering": 0.05}',
           now(), now(), now()
    FROM generate_series(1, $1) RETURNING id"""
_RUNS: Final = """
    INSERT INTO runs (session_id, phase, number, status, shard_size, total, started_at)
    SELECT id, phase, 1, CASE phase WHEN 'training' THEN 'running' ELSE 'pending' END, 64, $2,
           CASE phase WHEN 'training' THEN now() END
    FROM unnest($1::bigint[]) AS id, unnest(ARRAY['training', 'face_detection', 'clustering']) AS phase"""
_LEASES: Final = """
    INSERT INTO leases (session_id, holder, epoch, expires_at)
    SELECT id, 'benchmark', 1, now() + interval '1 day' FROM unnest($1::bigint[]) AS id"""
_ASSETS: Final = """
    WITH photos AS (
        INSERT INTO assets (path, size_bytes, modified_ns)
        SELECT convert_to('/photos/' || $1::bigint || '/' || number || '.jpg', 'UTF8'), 1, 1
        FROM generate_series(1, $2::int) AS number RETURNING id)
    INSERT INTO session_assets (session_id, asset_id) SELECT $1::bigint, id FROM photos"""
_ITEMS: Final = """
    INSERT INTO run_items (run_id, ordinal, asset_id)
    SELECT runs.id, row_number() OVER (ORDER BY photo.id) - 1, photo.asset_id
    FROM session_assets photo JOIN runs ON runs.session_id = photo.session_id AND runs.phase = 'training'
    WHERE photo.session_id = $1"""


@dataclass(frozen=True, kw_only=True)
class LiveSessions:
    """What was made."""

    session_ids: list[int]
    small_id: int
    """One of them, with 1,000 photos."""
    large_id: int
    """One of them, with 1,000,000 photos."""

    def photos_of(self, session_id: int) -> int:
        """Photos of a session."""
        return {self.small_id: 1_000, self.large_id: 1_000_000}.get(session_id, PHOTOS)


async def make_sessions(database_url: str, number: int) -> LiveSessions:
    """Make so many running sessions, two of them with rows for each photo."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            ids = [row["id"] for row in await connection.fetch(_SESSIONS, number)]
            made = LiveSessions(session_ids=ids, small_id=ids[0], large_id=ids[1])
            for photos in {made.photos_of(one) for one in ids}:
                await connection.execute(_RUNS, [one for one in ids if made.photos_of(one) == photos], photos)
            await connection.execute(_LEASES, ids)
        for session_id in (made.small_id, made.large_id):
            await connection.execute(_ASSETS, session_id, made.photos_of(session_id), timeout=300)
            await connection.execute(_ITEMS, session_id, timeout=300)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
    return made
