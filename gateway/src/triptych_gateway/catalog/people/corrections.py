"""What people say of faces and persons: that one is somebody or is not, that several are the same or are not."""

from collections.abc import Collection, Sequence
from typing import Any, Literal

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.people import person_separation, places
from triptych_gateway.catalog.people.face_boxes import SAME_FACE, overlap_of
from triptych_gateway.catalog.people.faces import Face, get_face
from triptych_gateway.catalog.people.persons import Person, get_person
from triptych_gateway.catalog.states import NotAllowedError

Kind = Literal["is", "is_not"]


async def say_who(connection: AsyncConnection, face_id: int, person_id: int | None) -> Face:
    """Say that a face is that person; None: a person of its own, who is made for it.

    What was said of the face before and contradicts it is forgotten. Saying it twice changes nothing. Raises
    NotFoundError; NotAllowedError for a face that has no place among those that are shown.
    """
    await places.lock(connection)
    face = await _shown_face(connection, face_id)
    if person_id is None:
        person_id = (await connection.execute(text("INSERT INTO persons DEFAULT VALUES RETURNING id"))).scalar_one()
    else:
        await get_person(connection, person_id)
    said = await places.corrections_of(connection, face.asset_id, face_id)
    contradicting = [one for one, of, kind in said if kind == "is" or of == person_id]
    await _replace(connection, face, contradicting, person_id=person_id, kind="is")
    await _settle(connection, [face.asset_id], [person_id, *_those(face.person_id)])
    return await get_face(connection, face_id)


async def say_who_not(connection: AsyncConnection, face_id: int) -> Face:
    """Say that a face is not the person that it is shown as; it stays as it is where it is shown as nobody.

    Raises NotFoundError; NotAllowedError for a face that has no place among those that are shown.
    """
    await places.lock(connection)
    face = await _shown_face(connection, face_id)
    if face.person_id is None:
        return face
    said = await places.corrections_of(connection, face.asset_id, face_id)
    contradicting = [one for one, of, _ in said if of == face.person_id]
    await _replace(connection, face, contradicting, person_id=face.person_id, kind="is_not")
    await _settle(connection, [face.asset_id], [face.person_id])
    changed = await get_face(connection, face_id)
    await _settle(connection, [], _those(changed.person_id))
    return changed


async def merge_persons(connection: AsyncConnection, person_id: int, other_ids: Collection[int]) -> Person:
    """Make several persons one: groups, faces and what was said of them become that one's.

    They stay one though a later clustering should bring their groups together and part them again: the strongest face
    of each group is said to be that person. The one with a name stays; where several have one, or none has, the one of
    those with most faces; of equals ``person_id``, then the oldest. Raises NotFoundError.
    """
    await places.lock(connection)
    rows = await _locked(connection, {person_id, *other_ids})
    survivor: int = _survivor(rows, person_id)
    merged: dict[str, Any] = {"survivor": survivor, "gone": [row.id for row in rows if row.id != survivor]}
    await person_separation.follow_merge(connection, survivor, merged["gone"])
    for statement in (
        "UPDATE groups SET person_id = :survivor WHERE person_id = ANY(CAST(:gone AS bigint[]))",
        "UPDATE face_places SET person_id = :survivor WHERE person_id = ANY(CAST(:gone AS bigint[]))",
        "UPDATE corrections SET person_id = :survivor WHERE person_id = ANY(CAST(:gone AS bigint[]))",
        "DELETE FROM persons WHERE id = ANY(CAST(:gone AS bigint[]))",
        "UPDATE persons SET updated_at = now() WHERE id = :survivor",
    ):
        names = {name: value for name, value in merged.items() if f":{name}" in statement}
        await connection.execute(text(statement), names)
    await _add_witnesses(connection, survivor)
    assets = await _drop_contradictions(connection, survivor)
    await _settle(connection, assets, [survivor])
    return await get_person(connection, survivor)


async def keep_apart(connection: AsyncConnection, person_id: int, other_ids: Collection[int]) -> Person:
    """Say that a person is none of these others: no later clustering puts their faces into one group.

    Until they are merged. Raises NotFoundError.
    """
    await places.lock(connection)
    await _locked(connection, {person_id, *other_ids})
    await person_separation.say_different(connection, person_id, other_ids)
    return await get_person(connection, person_id)


async def _locked(connection: AsyncConnection, person_ids: Collection[int]) -> Sequence[Row[Any]]:
    """The persons' id, name and faces, locked. Raises NotFoundError."""
    rows = (
        await connection.execute(
            text("""
                SELECT id, name, face_count FROM persons WHERE id = ANY(CAST(:ids AS bigint[]))
                ORDER BY id FOR UPDATE"""),
            {"ids": sorted(person_ids)},
        )
    ).all()
    missing = set(person_ids) - {row.id for row in rows}
    if missing:
        raise NotFoundError(f"There is no person {min(missing)}.")
    return rows


async def _add_witnesses(connection: AsyncConnection, person_id: int) -> None:
    """Say of the strongest face of each of a person's groups that it is that person, unless it was said of one."""
    await connection.execute(
        text("""
            INSERT INTO corrections (person_id, asset_id, x, y, width, height, kind)
            SELECT DISTINCT ON (p.group_id) :person_id, f.asset_id, f.x, f.y, f.width, f.height, 'is'
            FROM groups g JOIN face_places p ON p.group_id = g.id JOIN faces f ON f.id = p.face_id
            WHERE g.person_id = :person_id AND p.person_id = :person_id AND p.shown
                AND NOT EXISTS (SELECT 1 FROM face_places q
                    WHERE q.group_id = g.id AND q.is_manual AND q.person_id = :person_id)
            ORDER BY p.group_id, p.probability DESC NULLS LAST, p.face_id"""),
        {"person_id": person_id},
    )


def _survivor(rows: Sequence[Row[Any]], person_id: int) -> int:
    candidates = [row for row in rows if row.name is not None] or rows
    best = max(candidates, key=lambda row: (row.face_count, row.id == person_id, -row.id))
    survivor: int = best.id
    return survivor


def _those(person_id: int | None) -> list[int]:
    return [] if person_id is None else [person_id]


async def _shown_face(connection: AsyncConnection, face_id: int) -> Face:
    """The face, its place locked by the caller's lock. Raises NotFoundError and NotAllowedError."""
    face = await get_face(connection, face_id)
    place = await connection.execute(
        text("SELECT 1 FROM face_places WHERE face_id = :face_id AND shown"), {"face_id": face_id}
    )
    if place.first() is None:
        raise NotAllowedError(
            f"Face {face_id} is not among those that are grouped: it was found after the last clustering, replaced, "
            "or its photo is missing.",
            status="not_grouped",
            allowed=(),
        )
    return face


async def _replace(
    connection: AsyncConnection, face: Face, contradicting: Sequence[int], *, person_id: int, kind: Kind
) -> None:
    await connection.execute(
        text("DELETE FROM corrections WHERE id = ANY(CAST(:ids AS bigint[]))"), {"ids": list(contradicting)}
    )
    await connection.execute(
        text("""
            INSERT INTO corrections (person_id, asset_id, x, y, width, height, kind)
            SELECT :person_id, asset_id, x, y, width, height, :kind FROM faces WHERE id = :face_id"""),
        {"person_id": person_id, "face_id": face.id, "kind": kind},
    )


async def _drop_contradictions(connection: AsyncConnection, person_id: int) -> list[int]:
    """Forget that a face is not this person where it was also said that it is; returns the photos spoken of.

    Of several such words of one kind about a box, the last stays.
    """
    await connection.execute(
        text(f"""
            DELETE FROM corrections old USING corrections c
            WHERE old.person_id = :person_id AND c.person_id = :person_id AND c.asset_id = old.asset_id
                AND {overlap_of("c", "old")} >= {SAME_FACE}
                AND ((c.kind = old.kind AND c.id > old.id) OR (c.kind = 'is' AND old.kind = 'is_not'))"""),  # noqa: S608
        {"person_id": person_id},
    )
    rows = await connection.execute(
        text("SELECT DISTINCT asset_id FROM corrections WHERE person_id = :person_id"), {"person_id": person_id}
    )
    return [row.asset_id for row in rows]


async def _settle(connection: AsyncConnection, asset_ids: Sequence[int], person_ids: Sequence[int]) -> None:
    """Show what was said, and leave those whom it touches with a cover of their own, or not at all."""
    if asset_ids:
        await places.apply_corrections(connection, asset_ids)
    if person_ids:
        await places.renew_covers(connection, person_ids)
        await places.remove_nobodies(connection, person_ids)
