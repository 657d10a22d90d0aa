"""Photos of the library and of sessions: what discovery found."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.database import DISCOVERY_LOCK
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.paging import window
from triptych_gateway.catalog.people import places
from triptych_gateway.catalog.runs.shards import ShardItem
from triptych_gateway.catalog.schema import assets, session_assets, session_problems


@dataclass(frozen=True, kw_only=True)
class FoundPhoto:
    """A photo as discovery saw it, undecoded."""

    path: bytes
    size_bytes: int
    modified_ns: int
    is_readable: bool = True
    """False where it could not be looked at: then size and time say nothing."""
    content_sha256: bytes | None = None
    """Of its content, where discovery had to read it."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A folder or file that discovery could not read."""

    path: bytes
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A photo of the library."""

    id: int
    path: bytes
    size_bytes: int
    modified_ns: int
    version: int
    content_sha256: bytes | None
    width: int | None
    height: int | None
    taken_at: str | None
    missing_at: datetime | None
    """When its file was found to be gone."""
    created_at: datetime


async def forget_discovery(connection: AsyncConnection, session_id: int) -> None:
    """Drop what an interrupted discovery recorded, so that it can begin again."""
    await connection.execute(delete(session_assets).where(session_assets.c.session_id == session_id))
    await connection.execute(delete(session_problems).where(session_problems.c.session_id == session_id))


MAX_PATH_BYTES: Final = 2600
"""Longest path that is recorded: PostgreSQL's indexes take 2,704 bytes of one that cannot be compressed."""

_SAME: Final = """(known.size_bytes = excluded.size_bytes AND (
    known.modified_ns = excluded.modified_ns OR known.content_sha256 = excluded.content_sha256))"""
"""Whether a known photo is as it was found: by size and time of change, or, where only the time differs, by content."""


async def add_photos(connection: AsyncConnection, session_id: int, photos: Sequence[FoundPhoto]) -> None:
    """Record photos of a session. A file that changed since it was last seen gets a new version."""
    # In the order of paths, so that two discoveries of the same directory do not lock each other out.
    ordered = sorted({photo.path: photo for photo in photos}.values(), key=lambda photo: photo.path)
    paths = [photo.path for photo in ordered]
    await connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": DISCOVERY_LOCK})
    missing = await connection.execute(
        text("SELECT 1 FROM assets WHERE path = ANY(CAST(:paths AS bytea[])) AND missing_at IS NOT NULL LIMIT 1"),
        {"paths": paths},
    )
    if missing.first() is not None:
        # Their faces will be shown again.
        await places.lock(connection)
    ids = await directory_ids(connection, sorted({posixpath.dirname(path) for path in paths}))
    for is_readable, change in (
        (
            True,
            f"""
            UPDATE SET size_bytes = excluded.size_bytes, modified_ns = excluded.modified_ns, missing_at = NULL,
                version = CASE WHEN {_SAME} THEN known.version ELSE known.version + 1 END,
                content_sha256 = CASE WHEN {_SAME} THEN known.content_sha256 ELSE excluded.content_sha256 END,
                trained_at = CASE WHEN {_SAME} THEN known.trained_at END
            WHERE (known.size_bytes, known.modified_ns) <> (excluded.size_bytes, excluded.modified_ns)
                OR known.missing_at IS NOT NULL""",
        ),
        # Whether it changed will be seen when it can be looked at again.
        (False, "NOTHING"),
    ):
        some = [photo for photo in ordered if photo.is_readable == is_readable]
        if some:
            await connection.execute(
                text(f"""
                    INSERT INTO assets AS known (path, directory_id, size_bytes, modified_ns, content_sha256)
                    SELECT path, directory_id, size_bytes, modified_ns, content_sha256 FROM unnest(
                        CAST(:paths AS bytea[]), CAST(:directories AS bigint[]), CAST(:sizes AS bigint[]),
                        CAST(:moments AS bigint[]), CAST(:hashes AS bytea[]))
                        AS found(path, directory_id, size_bytes, modified_ns, content_sha256)
                    ON CONFLICT (path) DO {change}"""),  # noqa: S608 - constants
                {
                    "paths": [photo.path for photo in some],
                    "directories": [ids[posixpath.dirname(photo.path)] for photo in some],
                    "sizes": [photo.size_bytes for photo in some],
                    "moments": [photo.modified_ns for photo in some],
                    "hashes": [photo.content_sha256 for photo in some],
                },
            )
    await connection.execute(
        text("""
            INSERT INTO session_assets (session_id, asset_id)
            SELECT :session_id, id FROM assets WHERE path = ANY(CAST(:paths AS bytea[])) ORDER BY path
            ON CONFLICT (session_id, asset_id) DO NOTHING"""),
        {"session_id": session_id, "paths": paths},
    )


async def directory_ids(connection: AsyncConnection, paths: Sequence[bytes]) -> dict[bytes, int]:
    """The ids of directories, by path; those that are new are recorded."""
    await connection.execute(
        text("""
            INSERT INTO directories (path) SELECT path FROM unnest(CAST(:paths AS bytea[])) AS p(path)
            ON CONFLICT (path) DO NOTHING"""),
        {"paths": list(paths)},
    )
    rows = await connection.execute(
        text("SELECT id, path FROM directories WHERE path = ANY(CAST(:paths AS bytea[]))"), {"paths": list(paths)}
    )
    return {row.path: row.id for row in rows}


async def add_problems(connection: AsyncConnection, session_id: int, problems: Sequence[Problem]) -> None:
    """Record what discovery could not read."""
    if problems:
        await connection.execute(
            insert(session_problems), [{"session_id": session_id, **vars(problem)} for problem in problems]
        )


async def list_problems(
    connection: AsyncConnection, session_id: int, *, offset: int, limit: int
) -> tuple[list[Problem], int]:
    """What discovery could not read, and how much that is in all."""
    table = session_problems
    condition = table.c.session_id == session_id
    total = (await connection.execute(select(func.count()).select_from(table).where(condition))).scalar_one()
    read = window(offset=offset, limit=limit, total=total)
    rows = (
        await connection.execute(
            select(table.c.path, table.c.code, table.c.message)
            .where(condition)
            .order_by(table.c.id.desc() if read.reverse else table.c.id)
            .offset(read.offset)
            .limit(read.limit)
        )
    ).all()
    return [
        Problem(path=row.path, code=row.code, message=row.message) for row in (reversed(rows) if read.reverse else rows)
    ], total


async def get_asset(connection: AsyncConnection, asset_id: int) -> Asset:
    """One photo of the library. Raises NotFoundError."""
    row = (await connection.execute(select(assets).where(assets.c.id == asset_id))).first()
    if row is None:
        raise NotFoundError(f"There is no photo {asset_id}.")
    return asset_from_row(row)


def asset_from_row(row: Row[Any]) -> Asset:
    """The photo in a row that has all columns of `assets`."""
    return Asset(**{name: row._mapping[name] for name in Asset.__dataclass_fields__})


async def spread_sample(connection: AsyncConnection, session_id: int, *, count: int) -> list[ShardItem]:
    """At most so many photos, spread evenly over the session's; their ordinals only number them."""
    rows = await connection.execute(
        text("""
            WITH numbered AS (
                SELECT a.id, a.version, a.path, row_number() OVER (ORDER BY s.id) - 1 AS place,
                    count(*) OVER () AS total
                FROM session_assets s JOIN assets a ON a.id = s.asset_id WHERE s.session_id = :session_id)
            SELECT id, version, path FROM numbered
            WHERE floor(place * CAST(:count AS float) / total) <> floor((place - 1) * CAST(:count AS float) / total)
            ORDER BY place LIMIT :count"""),
        {"session_id": session_id, "count": count},
    )
    return [
        ShardItem(ordinal=ordinal, asset_id=row.id, asset_version=row.version, path=row.path)
        for ordinal, row in enumerate(rows)
    ]
