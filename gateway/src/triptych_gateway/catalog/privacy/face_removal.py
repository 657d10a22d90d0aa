"""Removes faces with all that was made of them: places, what people said of them, and the graph of near neighbours."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.people import places
from triptych_gateway.catalog.people.face_boxes import SAME_FACE, overlap_of


async def remove_faces(connection: AsyncConnection, face_ids: Sequence[int]) -> int:
    """Remove faces; returns how many there were.

    The caller holds the locks of clusterings and of places. Groups and persons that are left without a face go too,
    persons with their names; the kept graphs of the faces' models go whole, since they name their neighbours.
    """
    if not face_ids:
        return 0
    ids = {"ids": list(face_ids)}
    touched = (
        await connection.execute(
            text("""
                SELECT array_agg(DISTINCT person_id) FILTER (WHERE person_id IS NOT NULL) AS persons,
                    array_agg(DISTINCT group_id) FILTER (WHERE group_id IS NOT NULL) AS groups
                FROM face_places WHERE face_id = ANY(CAST(:ids AS bigint[]))"""),
            ids,
        )
    ).one()
    for statement in (
        f"""DELETE FROM corrections c USING faces f
            WHERE f.id = ANY(CAST(:ids AS bigint[])) AND c.asset_id = f.asset_id
                AND {overlap_of("c", "f")} >= {SAME_FACE}""",  # noqa: S608 - constants
        "DELETE FROM face_places WHERE face_id = ANY(CAST(:ids AS bigint[]))",
        """DELETE FROM kept_graphs
           WHERE model_id IN (SELECT model_id FROM faces WHERE id = ANY(CAST(:ids AS bigint[])))""",
        """UPDATE face_scans s SET face_count = s.face_count - gone.faces
           FROM (SELECT asset_id, model_id, generation, count(*) AS faces FROM faces
               WHERE id = ANY(CAST(:ids AS bigint[])) GROUP BY asset_id, model_id, generation) gone
           WHERE (s.asset_id, s.model_id, s.generation) = (gone.asset_id, gone.model_id, gone.generation)""",
    ):
        await connection.execute(text(statement), ids)
    removed = await connection.execute(text("DELETE FROM faces WHERE id = ANY(CAST(:ids AS bigint[]))"), ids)
    await connection.execute(
        text("""
            DELETE FROM groups g WHERE g.id = ANY(CAST(:groups AS bigint[]))
                AND NOT EXISTS (SELECT 1 FROM face_places p WHERE p.group_id = g.id)"""),
        {"groups": touched.groups or []},
    )
    await _remove_persons_without_a_face(connection, touched.persons or [])
    await places.renew_covers(connection, touched.persons or [])
    return removed.rowcount


async def remove_persons(connection: AsyncConnection, person_ids: Sequence[int]) -> int:
    """Remove persons with their names, also from what clusterings told of them; returns how many there were."""
    ids = {"ids": list(person_ids)}
    await connection.execute(
        text("""
            DELETE FROM changed_persons
            WHERE person_id = ANY(CAST(:ids AS bigint[])) OR into_id = ANY(CAST(:ids AS bigint[]))"""),
        ids,
    )
    removed = await connection.execute(text("DELETE FROM persons WHERE id = ANY(CAST(:ids AS bigint[]))"), ids)
    return removed.rowcount


async def _remove_persons_without_a_face(connection: AsyncConnection, person_ids: Sequence[int]) -> None:
    """Those of the persons whose last face is gone, and of whom nobody said that another one is theirs."""
    rows = await connection.execute(
        text("""
            SELECT p.id FROM persons p WHERE p.id = ANY(CAST(:ids AS bigint[]))
                AND NOT EXISTS (SELECT 1 FROM face_places f WHERE f.person_id = p.id)
                AND NOT EXISTS (SELECT 1 FROM groups g WHERE g.person_id = p.id)
                AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.person_id = p.id AND c.kind = 'is')"""),
        {"ids": list(person_ids)},
    )
    if gone := [row.id for row in rows]:
        await remove_persons(connection, gone)
