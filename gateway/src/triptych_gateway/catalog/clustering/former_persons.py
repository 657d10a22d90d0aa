"""Who the library's faces were before a new clustering, and which faces of it those are.

The picture is kept in a table of the transaction, so that it costs the gateway no memory, and outlives the faces
themselves where a restart of face detection replaces them.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.clustering import place_counters
from triptych_gateway.catalog.clustering.person_matching import Overlap
from triptych_gateway.catalog.people import places
from triptych_gateway.catalog.people.face_boxes import SAME_FACE, overlap_of

_BY_HAND: Final = "p.is_manual AND p.person_id IS DISTINCT FROM g.person_id"


@dataclass(frozen=True, kw_only=True)
class FormerPersons:
    """That the picture has been taken, in this transaction."""

    model_id: str
    """Face model whose clustering is to be replaced."""
    faces: int
    """Faces that were somebody."""
    places: int
    """Faces that stood somewhere."""


async def remember_persons(connection: AsyncConnection, *, model_id: str) -> FormerPersons:
    """Take the picture of who each face is, and let nobody change that until the transaction ends.

    To be called before faces are replaced and before `regrouping.replace_clustering`, in the same transaction.
    """
    await places.lock(connection)
    # Faces that are replaced meanwhile take their places along one by one: then `replace_clustering` counts once.
    await place_counters.stop_counting(connection)
    await connection.execute(text("DROP TABLE IF EXISTS pg_temp.former_faces"))
    created = await connection.execute(
        text(f"""
            CREATE TEMPORARY TABLE former_faces ON COMMIT DROP AS
            SELECT f.id AS face_id, f.asset_id, f.x, f.y, f.width, f.height, p.person_id,
                CASE WHEN {_BY_HAND} THEN NULL ELSE coalesce(p.group_id, 0) END AS strand,
                p.is_manual AS is_said, w.id IS NOT NULL AS is_cover
            FROM face_places p JOIN faces f ON f.id = p.face_id LEFT JOIN groups g ON g.id = p.group_id
            LEFT JOIN persons w ON w.cover_face_id = p.face_id AND w.id = p.person_id
            WHERE p.person_id IS NOT NULL""")  # noqa: S608 - constants
    )
    await connection.execute(text("ANALYZE pg_temp.former_faces"))
    return FormerPersons(model_id=model_id, faces=created.rowcount, places=await count_places(connection))


async def count_places(connection: AsyncConnection) -> int:
    """Faces that stand somewhere."""
    count: int = (await connection.execute(text("SELECT count(*) FROM face_places"))).scalar_one()
    return count


async def grouped(connection: AsyncConnection) -> list[int]:
    """The persons who had faces in groups of their own."""
    rows = await connection.execute(
        text("SELECT DISTINCT person_id FROM pg_temp.former_faces WHERE strand > 0 ORDER BY person_id")
    )
    return [row.person_id for row in rows]


async def forget_session(connection: AsyncConnection, session_id: int) -> None:
    """Remove the persons with a face in the session's photos, their names and what people said of them.

    Places are to be removed first: they would be changed one by one.
    """
    await connection.execute(
        text("""
            WITH gone AS (DELETE FROM persons WHERE id IN (
                SELECT r.person_id FROM pg_temp.former_faces r JOIN session_assets s ON s.asset_id = r.asset_id
                WHERE s.session_id = :session_id) RETURNING id)
            DELETE FROM pg_temp.former_faces r USING gone WHERE r.person_id = gone.id"""),
        {"session_id": session_id},
    )


async def recognise(connection: AsyncConnection) -> None:
    """Find the remembered faces among those of the new clustering, which stand in the table `new_faces`.

    A face that is still there is itself; one that was replaced is the face with the most similar box in its photo.
    """
    await connection.execute(text("DROP TABLE IF EXISTS pg_temp.recognised"))
    await connection.execute(
        text("""
            CREATE TEMPORARY TABLE recognised ON COMMIT DROP AS
            SELECT r.face_id, n.number, r.person_id, r.strand, r.is_said, r.is_cover
            FROM pg_temp.former_faces r JOIN pg_temp.new_faces n ON n.face_id = r.face_id""")
    )
    await connection.execute(
        text(f"""
            WITH replaced AS (
                SELECT r.* FROM pg_temp.former_faces r
                WHERE NOT EXISTS (SELECT 1 FROM pg_temp.new_faces n WHERE n.face_id = r.face_id)),
            alike AS (
                SELECT DISTINCT ON (r.face_id) f.id AS face_id, n.number, r.person_id, r.strand, r.is_said, r.is_cover,
                    {overlap_of("r", "f")} AS overlap
                FROM replaced r JOIN faces f ON f.asset_id = r.asset_id
                JOIN pg_temp.new_faces n ON n.face_id = f.id
                WHERE {overlap_of("r", "f")} >= {SAME_FACE}
                    AND NOT EXISTS (SELECT 1 FROM pg_temp.former_faces k WHERE k.face_id = f.id)
                ORDER BY r.face_id, overlap DESC, f.id)
            INSERT INTO pg_temp.recognised
            SELECT DISTINCT ON (face_id) face_id, number, person_id, strand, is_said, is_cover
            FROM alike ORDER BY face_id, overlap DESC, person_id""")  # noqa: S608 - constants
    )


async def overlaps(connection: AsyncConnection) -> list[Overlap]:
    """What the new groups have in common with the persons that were recognised."""
    rows = await connection.execute(
        text("""
            SELECT r.number, r.person_id, r.strand, count(*) AS faces, count(*) FILTER (WHERE r.is_said) AS said,
                p.name IS NOT NULL AS is_named
            FROM pg_temp.recognised r JOIN persons p ON p.id = r.person_id
            WHERE r.number IS NOT NULL GROUP BY r.number, r.person_id, r.strand, is_named""")
    )
    return [
        Overlap(
            group=row.number,
            person_id=row.person_id,
            strand=row.strand,
            faces=row.faces,
            is_named=row.is_named,
            said=row.said,
        )
        for row in rows
    ]


async def keep_covers(connection: AsyncConnection) -> None:
    """Give persons whose cover was replaced by another row of the same face that row."""
    await connection.execute(
        text("""
            UPDATE persons p SET cover_face_id = r.face_id FROM pg_temp.recognised r
            WHERE r.is_cover AND r.person_id = p.id AND p.cover_face_id IS DISTINCT FROM r.face_id""")
    )
