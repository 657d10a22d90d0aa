"""Removes a person: every face of theirs that any model found, and their name wherever it stands."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.people import kept_out, places
from triptych_gateway.catalog.people.face_boxes import SAME_FACE, overlap_of
from triptych_gateway.catalog.privacy import face_removal
from triptych_gateway.catalog.privacy.waiting import require_no_clustering


async def remove_person(connection: AsyncConnection, person_id: int, *, keeps_out: bool) -> dict[str, int]:
    """Remove a person in one transaction; returns how many ``persons`` and ``faces`` there were.

    With ``keeps_out`` the places of the faces are kept out of later searches for faces. Raises MustWaitError.
    """
    await require_no_clustering(connection)
    await places.lock(connection)
    face_ids = await _faces_of(connection, person_id)
    if keeps_out:
        await kept_out.keep_out(connection, face_ids)
    faces = await face_removal.remove_faces(connection, face_ids)
    # Gone with the last face, or not: groups and words may be left of somebody without a face.
    await face_removal.remove_persons(connection, [person_id])
    return {"persons": 1, "faces": faces}


async def _faces_of(connection: AsyncConnection, person_id: int) -> list[int]:
    """The faces that are shown, or were said to be, this person, and what other models found at the same places.

    A face that is shown as somebody else stays, however near it lies.
    """
    rows = await connection.execute(
        text(f"""
            WITH boxes AS MATERIALIZED (
                SELECT f.asset_id, f.x, f.y, f.width, f.height
                FROM face_places p JOIN faces f ON f.id = p.face_id WHERE p.person_id = :id
                UNION SELECT asset_id, x, y, width, height FROM corrections WHERE person_id = :id AND kind = 'is')
            SELECT DISTINCT f.id FROM boxes b JOIN faces f ON f.asset_id = b.asset_id
            WHERE {overlap_of("b", "f")} >= {SAME_FACE} AND NOT EXISTS (
                SELECT 1 FROM face_places p WHERE p.face_id = f.id AND p.person_id <> :id)"""),  # noqa: S608 - constants
        {"id": person_id},
    )
    return [row.id for row in rows]
