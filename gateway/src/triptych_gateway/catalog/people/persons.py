"""Persons: groups of faces that somebody may have named, listed, searched and changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.paging import window
from triptych_gateway.catalog.people import places
from triptych_gateway.catalog.people.faces import get_face
from triptych_gateway.catalog.states import NotAllowedError

PersonStatus = Literal["active", "hidden"]
LONGEST_NAME: Final = 200
"""Characters of the longest name."""

_UNSEEN: Final = "p.face_count = 0 AND p.name IS NULL"
"""Without a name, and all their photos are missing: they wait for these, and are in no list."""
_ORDERS: Final = ("p.face_count DESC, p.id ASC", "p.face_count ASC, p.id DESC")


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person's row."""

    id: int
    name: str | None
    status: PersonStatus
    face_count: int
    """Faces that are shown as this person."""
    asset_count: int
    """Photos that they are in."""
    cover_face_id: int | None
    created_at: datetime
    updated_at: datetime


_COLUMNS: Final = ", ".join(f"p.{name}" for name in Person.__dataclass_fields__)


def _person(row: Any) -> Person:
    return Person(**{name: getattr(row, name) for name in Person.__dataclass_fields__})


async def get_person(connection: AsyncConnection, person_id: int) -> Person:
    """One person. Raises NotFoundError."""
    row = (
        await connection.execute(
            text(f"SELECT {_COLUMNS} FROM persons p WHERE p.id = :id"),  # noqa: S608 - constants
            {"id": person_id},
        )
    ).first()
    if row is None:
        raise NotFoundError(f"There is no person {person_id}.")
    return _person(row)


async def list_persons(
    connection: AsyncConnection,
    *,
    offset: int,
    limit: int,
    status: PersonStatus | None = None,
    session_id: int | None = None,
    name_part: str | None = None,
) -> tuple[list[Person], int]:
    """Persons with a name or a face that is shown, those with most faces first, and how many there are in all.

    ``name_part`` is any part of the name, capitals or not; ``session_id`` leaves those with a face in its photos.
    """
    parameters: dict[str, object] = {}
    conditions = []
    if status is not None:
        conditions.append("p.status = :status")
        parameters["status"] = status
    if name_part is not None:
        conditions.append("p.name_folded IS NOT NULL AND strpos(p.name_folded, :name_part) > 0")
        parameters["name_part"] = fold(name_part)
    source = "persons p"
    if session_id is not None:
        source = "session_persons s JOIN persons p ON p.id = s.person_id"
        conditions.append("s.session_id = :session_id")
        parameters["session_id"] = session_id
    if name_part is not None:
        return await _list_found(connection, source, conditions, parameters, offset=offset, limit=limit)
    if session_id is not None:
        counted_in = "session_persons s" if status is None else source
        counted = f"SELECT count(*) FROM {counted_in} {_where(conditions)}"  # noqa: S608 - constants
    else:
        counted = f"""
            SELECT (SELECT coalesce(sum(count), 0) FROM person_counts p {_where(conditions)})
                - (SELECT count(*) FROM persons p {_where([*conditions, _UNSEEN])})"""  # noqa: S608 - constants
        conditions.append(f"NOT ({_UNSEEN})")
    return await _list_all(connection, source, counted, conditions, parameters, offset=offset, limit=limit)


def _where(conditions: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


async def count_session_persons(connection: AsyncConnection, session_id: int) -> int:
    """Persons with a face in the session's photos, missing ones too: those whom a restart may forget."""
    count: int = (
        await connection.execute(
            text("""
                SELECT count(DISTINCT p.person_id) FROM session_assets s JOIN face_places p ON p.asset_id = s.asset_id
                WHERE s.session_id = :session_id"""),
            {"session_id": session_id},
        )
    ).scalar_one()
    return count


async def _list_all(
    connection: AsyncConnection,
    source: str,
    counted: str,
    conditions: list[str],
    parameters: Mapping[str, object],
    *,
    offset: int,
    limit: int,
) -> tuple[list[Person], int]:
    """Of one status or any, of a session or all: in the order of an index, from the nearer end."""
    total = int((await connection.execute(text(counted), parameters)).scalar_one())
    part = window(offset=offset, limit=limit, total=total)
    rows = (
        await connection.execute(
            text(f"""
                SELECT {_COLUMNS} FROM {source} {_where(conditions)}
                ORDER BY {_ORDERS[part.reverse]} OFFSET :offset LIMIT :limit"""),  # noqa: S608 - constants
            {**parameters, "offset": part.offset, "limit": part.limit},
        )
    ).all()
    return [_person(row) for row in (reversed(rows) if part.reverse else rows)], total


async def _list_found(
    connection: AsyncConnection,
    source: str,
    conditions: list[str],
    parameters: Mapping[str, object],
    *,
    offset: int,
    limit: int,
) -> tuple[list[Person], int]:
    """By a part of the name, which no index knows: find all of them, and count them at that."""
    rows = (
        await connection.execute(
            text(f"""
                WITH found AS MATERIALIZED (SELECT p.id, p.face_count FROM {source} {_where(conditions)}),
                part AS (SELECT p.id FROM found p ORDER BY {_ORDERS[0]} OFFSET :offset LIMIT :limit)
                SELECT (SELECT count(*) FROM found) AS total, {_COLUMNS}
                FROM (SELECT 1) one LEFT JOIN (part JOIN persons p ON p.id = part.id) ON true
                ORDER BY {_ORDERS[0]}"""),  # noqa: S608 - constants
            {**parameters, "offset": offset, "limit": limit},
        )
    ).all()
    return [_person(row) for row in rows if row.id is not None], rows[0].total


async def list_different(
    connection: AsyncConnection, person_id: int, *, offset: int, limit: int
) -> tuple[list[Person], int]:
    """Persons who are said not to be this one, by id, and how many there are in all."""
    rows = (
        await connection.execute(
            text(f"""
                SELECT {_COLUMNS} FROM persons p WHERE p.id IN (
                    SELECT other_id FROM different_persons WHERE person_id = :id
                    UNION SELECT person_id FROM different_persons WHERE other_id = :id)
                ORDER BY p.id"""),  # noqa: S608 - constants
            {"id": person_id},
        )
    ).all()
    return [_person(row) for row in rows[offset : offset + limit]], len(rows)


async def change_person(connection: AsyncConnection, person_id: int, changes: Mapping[str, Any]) -> Person:
    """Change a person's ``name`` (None: no name), ``status`` or ``cover_face_id``; what is not named stays.

    A cover of None is the strongest face. Raises NotFoundError; NotAllowedError for a cover that is not this person's
    face.
    """
    values = dict(changes)
    if "cover_face_id" in values:
        await places.lock(connection)
    there = await connection.execute(text("SELECT 1 FROM persons WHERE id = :id FOR UPDATE"), {"id": person_id})
    if there.first() is None:
        raise NotFoundError(f"There is no person {person_id}.")
    if values.get("cover_face_id") is not None:
        await _check_cover(connection, person_id, values["cover_face_id"])
    if "name" in values:
        values["name_folded"] = fold(values["name"])
    if values:
        assignments = ", ".join(f"{name} = :{name}" for name in values)
        await connection.execute(
            text(f"UPDATE persons SET {assignments}, updated_at = now() WHERE id = :id"),  # noqa: S608 - own names
            {**values, "id": person_id},
        )
    if "cover_face_id" in values:
        await places.renew_covers(connection, [person_id])
    return await get_person(connection, person_id)


def fold(name: str | None) -> str | None:
    """A name as it is searched: what PostgreSQL makes of capitals depends on the database's locale."""
    return None if name is None else name.casefold()


async def _check_cover(connection: AsyncConnection, person_id: int, face_id: int) -> None:
    face = await get_face(connection, face_id)
    if face.person_id != person_id:
        raise NotAllowedError(
            f"Face {face_id} is not shown as person {person_id}, so it cannot stand for that person.",
            status="another_person",
            allowed=(),
        )
