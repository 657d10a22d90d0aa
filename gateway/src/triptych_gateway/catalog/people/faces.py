"""Faces as they are shown: one, and the lists of a person, of a group, of a photo and of nobody."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.paging import window
from triptych_gateway.catalog.schema import LIVE_GENERATION

_COLUMNS: Final = """
    f.id, f.asset_id, a.path, f.model_id, f.x, f.y, f.width, f.height, f.score,
    p.group_id, p.person_id, p.probability"""


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face as it is shown."""

    id: int
    asset_id: int
    path: bytes
    model_id: str
    x: float
    y: float
    width: float
    height: float
    score: float
    group_id: int | None
    person_id: int | None
    probability: float | None


def _face(row: Any) -> Face:
    return Face(**{name: getattr(row, name) for name in Face.__dataclass_fields__})


async def get_face(connection: AsyncConnection, face_id: int) -> Face:
    """A face. Raises NotFoundError, also for one that a restart has found and that is not shown yet."""
    row = (
        await connection.execute(
            text(f"""
                SELECT {_COLUMNS} FROM faces f JOIN assets a ON a.id = f.asset_id
                LEFT JOIN face_places p ON p.face_id = f.id AND p.shown
                WHERE f.id = :id AND f.generation = {LIVE_GENERATION}"""),  # noqa: S608 - constants
            {"id": face_id},
        )
    ).first()
    if row is None:
        raise NotFoundError(f"There is no face {face_id}.")
    return _face(row)


async def list_unassigned(connection: AsyncConnection, *, offset: int, limit: int) -> tuple[list[Face], int]:
    """Faces in no group and of no person, in the order in which they were found, and how many there are in all."""
    total = int(
        (
            await connection.execute(text("SELECT coalesce(sum(unassigned_count), 0) FROM clusterings WHERE active"))
        ).scalar_one()
    )
    found = await _page(
        connection,
        condition="group_id IS NULL AND person_id IS NULL AND shown",
        order=("p.face_id ASC", "p.face_id DESC"),
        parameters={},
        offset=offset,
        limit=limit,
        total=total,
    )
    return found, total


async def list_person_faces(
    connection: AsyncConnection, person_id: int, *, offset: int, limit: int
) -> tuple[list[Face], int]:
    """A person's faces in the order of their photos, and how many there are in all. Raises NotFoundError."""
    total: int | None = (
        await connection.execute(text("SELECT face_count FROM persons WHERE id = :id"), {"id": person_id})
    ).scalar_one_or_none()
    if total is None:
        raise NotFoundError(f"There is no person {person_id}.")
    found = await _page(
        connection,
        condition="person_id = :person_id AND shown",
        order=("p.asset_id ASC, p.face_id ASC", "p.asset_id DESC, p.face_id DESC"),
        parameters={"person_id": person_id},
        offset=offset,
        limit=limit,
        total=total,
    )
    return found, total


async def list_group_faces(
    connection: AsyncConnection, group_id: int, *, offset: int, limit: int, total: int
) -> list[Face]:
    """Some of the ``total`` faces of a group, strongest members first."""
    return await _page(
        connection,
        condition="group_id = :group_id AND shown",
        order=("p.probability DESC, p.face_id ASC", "p.probability ASC, p.face_id DESC"),
        parameters={"group_id": group_id},
        offset=offset,
        limit=limit,
        total=total,
    )


async def _page(
    connection: AsyncConnection,
    *,
    condition: str,
    order: tuple[str, str],
    parameters: dict[str, object],
    offset: int,
    limit: int,
    total: int,
) -> list[Face]:
    """The faces of a window of places; the faces themselves are looked up for these alone."""
    part = window(offset=offset, limit=limit, total=total)
    if part.limit == 0:
        return []
    rows = (
        await connection.execute(
            text(f"""
                WITH p AS MATERIALIZED (
                    SELECT p.face_id, p.asset_id, p.group_id, p.person_id, p.probability
                    FROM face_places p WHERE {condition} ORDER BY {order[part.reverse]} OFFSET :offset LIMIT :limit)
                SELECT {_COLUMNS} FROM p JOIN faces f ON f.id = p.face_id
                JOIN assets a ON a.id = f.asset_id ORDER BY {order[0]}"""),  # noqa: S608 - constants
            {**parameters, "offset": part.offset, "limit": part.limit},
        )
    ).all()
    return [_face(row) for row in rows]


async def list_asset_faces(connection: AsyncConnection, asset_ids: Sequence[int]) -> dict[int, list[Face]]:
    """The faces that are shown in each of some photos, from left to right.

    Those that clustering has placed; where it has placed none yet, those that were found.
    """
    rows = (
        await connection.execute(
            text(f"""
                SELECT {_COLUMNS}, p.face_id IS NOT NULL AS placed
                FROM faces f JOIN assets a ON a.id = f.asset_id
                JOIN face_scans c ON c.asset_id = f.asset_id AND c.model_id = f.model_id
                    AND c.generation = f.generation AND c.asset_version = a.version
                LEFT JOIN face_places p ON p.face_id = f.id
                WHERE f.asset_id = ANY(CAST(:asset_ids AS bigint[])) AND f.generation = {LIVE_GENERATION}
                    AND a.missing_at IS NULL
                ORDER BY f.x, f.id"""),  # noqa: S608 - constants
            {"asset_ids": list(asset_ids)},
        )
    ).all()
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.asset_id, []).append(row)
    return {
        asset_id: [_face(row) for row in [one for one in those if one.placed] or those]
        for asset_id, those in found.items()
    }


async def sample_group_faces(
    connection: AsyncConnection, group_ids: Sequence[int], *, most: int
) -> dict[int, list[Face]]:
    """The strongest faces of each of some groups, at most so many of each."""
    rows = await connection.execute(
        text(f"""
            SELECT {_COLUMNS} FROM unnest(CAST(:group_ids AS bigint[])) AS wanted(group_id)
            CROSS JOIN LATERAL (
                SELECT face_id, group_id, person_id, probability FROM face_places q
                WHERE q.group_id = wanted.group_id AND q.shown
                ORDER BY q.probability DESC, q.face_id LIMIT :most) p
            JOIN faces f ON f.id = p.face_id JOIN assets a ON a.id = f.asset_id
            ORDER BY p.group_id, p.probability DESC, p.face_id"""),  # noqa: S608 - constants
        {"group_ids": list(group_ids), "most": most},
    )
    faces: dict[int, list[Face]] = {}
    for row in rows:
        faces.setdefault(row.group_id, []).append(_face(row))
    return faces
