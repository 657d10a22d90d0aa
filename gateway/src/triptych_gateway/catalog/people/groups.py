"""Groups of faces that clustering found, as they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.paging import window
from triptych_gateway.catalog.people.faces import Face, sample_group_faces

SAMPLE_FACES: Final = 8
"""Faces that stand for a group in a list."""
_ORDERS: Final = ("g.face_count DESC, g.id ASC", "g.face_count ASC, g.id DESC")


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group as it is shown, with some of its faces: strongest members first."""

    id: int
    model_id: str
    face_count: int
    cohesion: float
    person_id: int | None
    faces: tuple[Face, ...]


async def count_session_groups(connection: AsyncConnection, session_id: int, *, model_id: str) -> int:
    """Groups of the active clustering that have a face in the session's photos."""
    count: int = (
        await connection.execute(
            text("""
                SELECT count(*) FROM session_groups s JOIN groups g ON g.id = s.group_id
                JOIN clusterings k ON k.id = g.clustering_id
                WHERE s.session_id = :session_id AND k.model_id = :model_id"""),
            {"model_id": model_id, "session_id": session_id},
        )
    ).scalar_one()
    return count


async def list_groups(
    connection: AsyncConnection, *, session_id: int | None, offset: int, limit: int
) -> tuple[list[Group], int]:
    """Groups that are shown, largest first, each with a few faces, and how many there are in all.

    With a session, only groups with a face in its photos. A group whose photos are all missing waits for them, unshown.
    """
    ids, total = (
        await _ids_in_library(connection, offset=offset, limit=limit)
        if session_id is None
        else await _ids_in_session(connection, session_id, offset=offset, limit=limit)
    )
    samples = await sample_group_faces(connection, ids, most=SAMPLE_FACES)
    rows = await _rows(connection, ids)
    return [_group(row, samples.get(row.id, ())) for row in rows], total


async def _ids_in_library(connection: AsyncConnection, *, offset: int, limit: int) -> tuple[list[int], int]:
    total = int(
        (
            await connection.execute(
                text("""
                    SELECT coalesce((SELECT sum(group_count) FROM clusterings WHERE active), 0)
                        - (SELECT count(*) FROM groups g JOIN clusterings k ON k.id = g.clustering_id
                            WHERE k.active AND g.face_count = 0)""")
            )
        ).scalar_one()
    )
    part = window(offset=offset, limit=limit, total=total)
    rows = await connection.execute(
        text(f"""
            SELECT id FROM groups g WHERE face_count > 0
            ORDER BY {_ORDERS[part.reverse]} OFFSET :offset LIMIT :limit"""),  # noqa: S608 - one of two orders
        {"offset": part.offset, "limit": part.limit},
    )
    return [row.id for row in rows], total


async def _ids_in_session(
    connection: AsyncConnection, session_id: int, *, offset: int, limit: int
) -> tuple[list[int], int]:
    total = int(
        (
            await connection.execute(
                text("SELECT count(*) FROM session_groups WHERE session_id = :session_id"), {"session_id": session_id}
            )
        ).scalar_one()
    )
    part = window(offset=offset, limit=limit, total=total)
    rows = await connection.execute(
        text(f"""
            SELECT g.id FROM session_groups s JOIN groups g ON g.id = s.group_id WHERE s.session_id = :session_id
            ORDER BY {_ORDERS[part.reverse]} OFFSET :offset LIMIT :limit"""),  # noqa: S608 - one of two orders
        {"session_id": session_id, "offset": part.offset, "limit": part.limit},
    )
    return [row.id for row in rows], total


async def get_group(connection: AsyncConnection, group_id: int) -> Group:
    """A group with a few of its faces. Raises NotFoundError."""
    rows = await _rows(connection, [group_id])
    if not rows:
        raise NotFoundError(f"There is no group {group_id}.")
    samples = await sample_group_faces(connection, [group_id], most=SAMPLE_FACES)
    return _group(rows[0], samples.get(group_id, ()))


async def _rows(connection: AsyncConnection, ids: Sequence[int]) -> Sequence[Any]:
    return (
        await connection.execute(
            text("""
                SELECT g.id, k.model_id, g.face_count, g.cohesion, g.person_id
                FROM groups g JOIN clusterings k ON k.id = g.clustering_id
                WHERE k.active AND g.id = ANY(CAST(:ids AS bigint[])) ORDER BY g.face_count DESC, g.id"""),
            {"ids": list(ids)},
        )
    ).all()


def _group(row: Any, faces: Sequence[Face]) -> Group:
    return Group(
        id=row.id,
        model_id=row.model_id,
        face_count=row.face_count,
        cohesion=row.cohesion,
        person_id=row.person_id,
        faces=tuple(faces),
    )
