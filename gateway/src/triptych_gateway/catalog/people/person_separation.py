"""Persons whom somebody said are two: no clustering puts their faces into one group, whatever the clusterer finds."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LEAST_FACES: Final = 2
"""Faces of a group: one alone is not yet a person."""


async def say_different(connection: AsyncConnection, person_id: int, other_ids: Collection[int]) -> None:
    """Remember that a person is none of these others, until they are merged. Saying it twice changes nothing.

    The persons' rows are to be locked by the caller.
    """
    await connection.execute(
        text("""
            INSERT INTO different_persons (person_id, other_id)
            SELECT least(:person_id, other), greatest(:person_id, other)
            FROM unnest(CAST(:others AS bigint[])) AS other WHERE other <> :person_id
            ON CONFLICT DO NOTHING"""),
        {"person_id": person_id, "others": sorted(other_ids)},
    )


async def follow_merge(connection: AsyncConnection, survivor_id: int, gone_ids: Sequence[int]) -> None:
    """Let whoever was different from the persons that are about to go be different from the one that stays.

    That those themselves were said to be two is forgotten: what was said last counts.
    """
    everybody = {"survivor": survivor_id, "gone": list(gone_ids)}
    await connection.execute(
        text("""
            INSERT INTO different_persons (person_id, other_id)
            SELECT DISTINCT least(:survivor, other), greatest(:survivor, other) FROM (
                SELECT other_id AS other FROM different_persons WHERE person_id = ANY(CAST(:gone AS bigint[]))
                UNION SELECT person_id FROM different_persons WHERE other_id = ANY(CAST(:gone AS bigint[]))) others
            WHERE other <> :survivor AND other <> ALL(CAST(:gone AS bigint[]))
            ON CONFLICT DO NOTHING"""),
        everybody,
    )
    await connection.execute(
        text("""
            DELETE FROM different_persons
            WHERE (person_id = :survivor AND other_id = ANY(CAST(:gone AS bigint[])))
                OR (other_id = :survivor AND person_id = ANY(CAST(:gone AS bigint[])))"""),
        everybody,
    )


def divide(faces: Mapping[int, int], different: Collection[tuple[int, int]]) -> list[list[int]]:
    """Persons of one group, in parts within which nobody is said to be another's other.

    ``faces`` are those of each person there, ``different`` the pairs, in either order. The first part is that of the
    person with most faces; each other joins the first part in which they may be.
    """
    apart = {*different, *((other, one) for one, other in different)}
    parts: list[list[int]] = []
    for person_id in sorted(faces, key=lambda one: (-faces[one], one)):
        fitting = [part for part in parts if all((person_id, one) not in apart for one in part)]
        if fitting:
            fitting[0].append(person_id)
        else:
            parts.append([person_id])
    return parts


async def separate(connection: AsyncConnection, group_count: int) -> list[int]:
    """Divide the groups in `new_faces` that hold persons who are said to be two, as `recognised` knows them.

    Faces of which nothing is known stay with the person who has most. Returns the group that each additional one was
    taken out of; their numbers go on from ``group_count``. What is too small for a group is in none.
    """
    rows = (await connection.execute(text("SELECT person_id, other_id FROM different_persons"))).all()
    different = [(row.person_id, row.other_id) for row in rows]
    if not different:
        return []
    found: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for row in await connection.execute(
        text("""
            SELECT number, person_id, count(*) AS faces FROM pg_temp.recognised
            WHERE number IS NOT NULL AND person_id = ANY(CAST(:persons AS bigint[])) GROUP BY number, person_id"""),
        {"persons": sorted({one for pair in different for one in pair})},
    ):
        found[row.number][row.person_id] = row.faces
    moves: list[tuple[int, int, int]] = []
    taken_out_of: list[int] = []
    for number, faces in sorted(found.items()):
        for part in divide(faces, different)[1:]:
            moves += [(number, person_id, group_count + len(taken_out_of)) for person_id in part]
            taken_out_of.append(number)
    if moves:
        await _move(connection, moves)
    return taken_out_of


async def _move(connection: AsyncConnection, moves: Sequence[tuple[int, int, int]]) -> None:
    """Give the faces of (group, person) their new group, and dissolve what is left too small."""
    columns = dict(zip(("numbers", "persons", "targets"), map(list, zip(*moves, strict=True)), strict=True))
    await connection.execute(
        text("""
            WITH moved AS (
                UPDATE pg_temp.recognised r SET number = m.target
                FROM unnest(CAST(:numbers AS integer[]), CAST(:persons AS bigint[]), CAST(:targets AS integer[]))
                    AS m(number, person_id, target)
                WHERE r.number = m.number AND r.person_id = m.person_id RETURNING r.face_id, r.number)
            UPDATE pg_temp.new_faces n SET number = moved.number FROM moved WHERE moved.face_id = n.face_id"""),
        columns,
    )
    changed = sorted({*columns["numbers"], *columns["targets"]})
    await connection.execute(
        text("""
            WITH small AS (
                SELECT number FROM pg_temp.new_faces WHERE number = ANY(CAST(:numbers AS integer[]))
                GROUP BY number HAVING count(*) < :least),
            alone AS (
                UPDATE pg_temp.new_faces n SET number = NULL, probability = NULL FROM small
                WHERE n.number = small.number RETURNING n.face_id)
            UPDATE pg_temp.recognised r SET number = NULL FROM alone WHERE alone.face_id = r.face_id"""),
        {"numbers": changed, "least": LEAST_FACES},
    )
