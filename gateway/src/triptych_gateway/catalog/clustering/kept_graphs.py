"""The graph of near neighbours that a clustering leaves for the next: read whole, and written as what changed.

Nothing here knows what the rows mean: they are the clusterer's, which keeps nothing itself.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

READ_AT_ONCE: Final = 4000
"""Rows of one batch."""


@dataclass(frozen=True, kw_only=True)
class KeptGraph:
    """The graph that is kept of a model's faces."""

    id: int
    version: str
    """Of what made it: another version does not understand it."""
    revision: int
    face_count: int
    group_count: int
    most_new_faces: int
    """New faces with which the next clustering is worth to be incremental."""


class KeptFace(NamedTuple):
    """What is kept of a face; see `KeptFaceBatch` in clusterer.proto."""

    face_id: int
    neighbour_ids: bytes
    distances: bytes
    component: int
    component_mark: int
    dense_group: int
    probability: float


class KeptGroup(NamedTuple):
    """What is kept of a group; see `KeptGroupBatch` in clusterer.proto."""

    mark: int
    neighbour_marks: bytes
    distances: bytes


@dataclass(frozen=True, kw_only=True)
class KeptChange:
    """What a clustering gave to be kept."""

    former: KeptGraph | None
    """What it changes; None where it stands alone, and replaces what is there."""
    version: str
    face_count: int
    group_count: int
    most_new_faces: int
    faces: Iterable[Sequence[KeptFace]]
    """New or other than before, in batches."""
    groups: Iterable[Sequence[KeptGroup]]
    gone_face_ids: Sequence[int]
    gone_group_marks: Sequence[int]


RowT = TypeVar("RowT", KeptFace, KeptGroup)


async def find(connection: AsyncConnection, *, model_id: str) -> KeptGraph | None:
    """What is kept of a model's faces."""
    row = (
        await connection.execute(
            text("""
                SELECT id, version, revision, face_count, group_count, most_new_faces FROM kept_graphs
                WHERE model_id = :model_id"""),
            {"model_id": model_id},
        )
    ).first()
    return None if row is None else KeptGraph(**row._mapping)


async def read_faces(connection: AsyncConnection, graph: KeptGraph) -> AsyncIterator[Sequence[KeptFace]]:
    """Its faces, in batches."""
    async for batch in _read(connection, graph, KeptFace, table="kept_faces"):
        yield batch


async def read_groups(connection: AsyncConnection, graph: KeptGraph) -> AsyncIterator[Sequence[KeptGroup]]:
    """Its groups, in batches."""
    async for batch in _read(connection, graph, KeptGroup, table="kept_groups"):
        yield batch


async def _read(
    connection: AsyncConnection, graph: KeptGraph, row_type: type[RowT], *, table: str
) -> AsyncIterator[list[RowT]]:
    columns = ", ".join(row_type._fields)
    result = await connection.stream(
        text(f"SELECT {columns} FROM {table} WHERE graph_id = :id ORDER BY {row_type._fields[0]}"),  # noqa: S608 - constants
        {"id": graph.id},
    )
    async for rows in result.partitions(READ_AT_ONCE):
        yield [row_type(*row) for row in rows]


async def write(connection: AsyncConnection, change: KeptChange, *, model_id: str) -> bool:
    """Keep what a clustering gave, in the caller's transaction.

    False, and nothing is kept any more, where what it changes is not as it was when the clustering read it: only
    somebody who lost the lock under which faces are grouped can come to that.
    """
    graph_id = await (_replace(connection, change, model_id) if change.former is None else _renew(connection, change))
    if graph_id is None:
        await connection.execute(text("DELETE FROM kept_graphs WHERE model_id = :model_id"), {"model_id": model_id})
        return False
    is_new = change.former is None
    driver = await _driver(connection)
    for table, key, batches in (("kept_faces", "face_id", change.faces), ("kept_groups", "mark", change.groups)):
        for batch in batches:
            if not is_new:
                await _remove(connection, graph_id, table, key, [row[0] for row in batch])
            if batch:
                await driver.copy_records_to_table(
                    table, columns=["graph_id", *batch[0]._fields], records=((graph_id, *row) for row in batch)
                )
    await _remove(connection, graph_id, "kept_faces", "face_id", change.gone_face_ids)
    await _remove(connection, graph_id, "kept_groups", "mark", change.gone_group_marks)
    return True


async def forget_unused(connection: AsyncConnection) -> None:
    """Remove what is kept of models none of whose clusterings is left."""
    await connection.execute(
        text("DELETE FROM kept_graphs g WHERE NOT EXISTS (SELECT 1 FROM clusterings k WHERE k.model_id = g.model_id)")
    )


async def _replace(connection: AsyncConnection, change: KeptChange, model_id: str) -> int | None:
    await connection.execute(text("DELETE FROM kept_graphs WHERE model_id = :model_id"), {"model_id": model_id})
    graph_id: int | None = (
        await connection.execute(
            text("""
                INSERT INTO kept_graphs (model_id, version, face_count, group_count, most_new_faces)
                VALUES (:model_id, :version, :face_count, :group_count, :most_new_faces)
                ON CONFLICT (model_id) DO NOTHING RETURNING id"""),
            {"model_id": model_id, **_facts(change)},
        )
    ).scalar_one_or_none()
    return graph_id


async def _renew(connection: AsyncConnection, change: KeptChange) -> int | None:
    assert change.former is not None  # noqa: S101 - the caller sorted that out
    renewed: int | None = (
        await connection.execute(
            text("""
                UPDATE kept_graphs SET revision = revision + 1, updated_at = now(), version = :version,
                    face_count = :face_count, group_count = :group_count, most_new_faces = :most_new_faces
                WHERE id = :id AND revision = :revision RETURNING id"""),
            {"id": change.former.id, "revision": change.former.revision, **_facts(change)},
        )
    ).scalar_one_or_none()
    return renewed


def _facts(change: KeptChange) -> dict[str, object]:
    return {name: getattr(change, name) for name in ("version", "face_count", "group_count", "most_new_faces")}


async def _remove(connection: AsyncConnection, graph_id: int, table: str, key: str, keys: Sequence[int]) -> None:
    if keys:
        await connection.execute(
            text(f"DELETE FROM {table} WHERE graph_id = :id AND {key} = ANY(CAST(:keys AS bigint[]))"),  # noqa: S608
            {"id": graph_id, "keys": list(keys)},
        )


async def _driver(connection: AsyncConnection) -> Any:
    driver = (await connection.get_raw_connection()).driver_connection
    if driver is None:
        raise RuntimeError("a connection that is open has a driver's connection")
    return driver
