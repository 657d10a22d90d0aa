"""Photos whose files moved: their rows take the new paths, and so keep results, faces and what people said of them."""

import posixpath
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.database import DISCOVERY_LOCK
from triptych_gateway.catalog.library.photos import FoundPhoto, directory_ids
from triptych_gateway.catalog.people import places


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownPhoto:
    """A file as the catalogue knows it."""

    id: int
    path: bytes
    size_bytes: int
    modified_ns: int
    content_sha256: bytes | None


@dataclass(frozen=True, kw_only=True)
class Move:
    """A known photo, and where its content was found."""

    known: KnownPhoto
    found: FoundPhoto


_COLUMNS = "id, path, size_bytes, modified_ns, content_sha256"


async def known_photos(connection: AsyncConnection, paths: Sequence[bytes]) -> dict[bytes, KnownPhoto]:
    """What is known of photos, by path; those that are new are left out."""
    rows = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM assets WHERE path = ANY(CAST(:paths AS bytea[]))"),  # noqa: S608 - a constant
        {"paths": list(paths)},
    )
    return {row.path: KnownPhoto(**row._mapping) for row in rows}


async def photos_of_size(
    connection: AsyncConnection, sizes_bytes: Sequence[int], *, batch: int = 1000
) -> AsyncIterator[list[KnownPhoto]]:
    """Every photo of one of these sizes whose content is known, in batches."""
    result = await connection.stream(
        text(f"""
            SELECT {_COLUMNS} FROM assets
            WHERE size_bytes = ANY(CAST(:sizes AS bigint[])) AND content_sha256 IS NOT NULL"""),  # noqa: S608
        {"sizes": list(sizes_bytes)},
    )
    async for rows in result.partitions(batch):
        yield [KnownPhoto(**row._mapping) for row in rows]


async def move_photos(connection: AsyncConnection, moves: Sequence[Move]) -> dict[int, bytes]:
    """Give photos the paths where their content was found; one that is not what it was when it was read is left.

    A photo whose path is taken, because its own content went elsewhere too, gets a path that was left: that of the one
    that took its place. A walk that comes there finds it, or finds that it is gone; these paths are returned by photo.
    The caller has checked its lease.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": DISCOVERY_LOCK})
    movers = await _still_as_read(connection, moves)
    if not movers:
        return {}
    targets = {move.found.path: asset_id for asset_id, move in movers.items()}
    occupants = await _occupants(connection, movers, targets)
    freed = {
        occupant: _freed_path(path, movers, targets) for path, occupant in occupants.items() if occupant not in movers
    }
    # So that no path is taken twice, not even for a moment. No file's path holds a NUL.
    await connection.execute(
        text("""
            UPDATE assets SET path = decode('00', 'hex') || convert_to(CAST(id AS text), 'LATIN1')
            WHERE id = ANY(CAST(:ids AS bigint[]))"""),
        {"ids": [*movers, *freed]},
    )
    directories = await directory_ids(
        connection, sorted({posixpath.dirname(path) for path in (*targets, *freed.values())})
    )
    found = [(asset_id, move.found) for asset_id, move in movers.items()]
    await connection.execute(
        text("""
            UPDATE assets a SET path = m.path, directory_id = m.directory_id, size_bytes = m.size_bytes,
                modified_ns = m.modified_ns, missing_at = NULL
            FROM unnest(CAST(:ids AS bigint[]), CAST(:paths AS bytea[]), CAST(:directories AS bigint[]),
                CAST(:sizes AS bigint[]), CAST(:moments AS bigint[]))
                AS m(id, path, directory_id, size_bytes, modified_ns)
            WHERE a.id = m.id"""),
        {
            "ids": [asset_id for asset_id, _ in found],
            "paths": [photo.path for _, photo in found],
            "directories": [directories[posixpath.dirname(photo.path)] for _, photo in found],
            "sizes": [photo.size_bytes for _, photo in found],
            "moments": [photo.modified_ns for _, photo in found],
        },
    )
    await connection.execute(
        text("""
            UPDATE assets a SET path = m.path, directory_id = m.directory_id
            FROM unnest(CAST(:ids AS bigint[]), CAST(:paths AS bytea[]), CAST(:directories AS bigint[]))
                AS m(id, path, directory_id)
            WHERE a.id = m.id"""),
        {
            "ids": list(freed),
            "paths": list(freed.values()),
            "directories": [directories[posixpath.dirname(path)] for path in freed.values()],
        },
    )
    return freed


async def _still_as_read(connection: AsyncConnection, moves: Sequence[Move]) -> dict[int, Move]:
    """The moves that are still possible, by the photo's id; the photos are locked."""
    by_id = {move.known.id: move for move in moves}
    missing = await connection.execute(
        text("SELECT 1 FROM assets WHERE id = ANY(CAST(:ids AS bigint[])) AND missing_at IS NOT NULL LIMIT 1"),
        {"ids": list(by_id)},
    )
    if missing.first() is not None:
        # Their faces will be shown again.
        await places.lock(connection)
    rows = await connection.execute(
        text("""
            SELECT id, path, content_sha256 FROM assets WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id
            FOR UPDATE"""),
        {"ids": list(by_id)},
    )
    return {
        row.id: by_id[row.id]
        for row in rows
        if (row.path, row.content_sha256) == (by_id[row.id].known.path, by_id[row.id].known.content_sha256)
    }


async def _occupants(
    connection: AsyncConnection, movers: Mapping[int, Move], targets: Mapping[bytes, int]
) -> dict[bytes, int]:
    """The photos that have the new paths now, by path; they are locked."""
    rows = await connection.execute(
        text("SELECT id, path FROM assets WHERE path = ANY(CAST(:paths AS bytea[])) ORDER BY id FOR UPDATE"),
        {"paths": list(targets)},
    )
    return {row.path: row.id for row in rows}


def _freed_path(path: bytes, movers: Mapping[int, Move], targets: Mapping[bytes, int]) -> bytes:
    """The path that is free once each photo of a chain has taken the path of the next; this is the last one's."""
    while path in targets:
        path = movers[targets[path]].known.path
    return path
