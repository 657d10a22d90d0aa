"""Where faces stand: the lock under which that changes, and who it makes them."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.database import PLACES_LOCK
from triptych_gateway.catalog.people.face_boxes import SAME_FACE, overlap_of
from triptych_gateway.catalog.schema import LIVE_GENERATION

SAID: Final = f"""
    SELECT DISTINCT ON (c.id) c.id, c.person_id, c.kind, p.face_id
    FROM corrections c JOIN face_places p ON p.asset_id = c.asset_id JOIN faces f ON f.id = p.face_id
    WHERE {overlap_of("c", "f")} >= {SAME_FACE} AND %s
    ORDER BY c.id, {overlap_of("c", "f")} DESC, f.id"""  # noqa: S608 - constants
"""What people said, and of which of the faces that stand somewhere: correction, person, kind, face."""
_OF_THE_PHOTOS: Final = "c.asset_id = ANY(CAST(:asset_ids AS bigint[]))"
_OF_THE_PERSONS: Final = "p.id = ANY(CAST(:ids AS bigint[]))"


async def lock(connection: AsyncConnection) -> None:
    """Be the only transaction that changes where faces stand or who they are, until it ends.

    One lock for all of it: rows of faces, groups and persons that such changes touch have no common order in which they
    could be locked. In a session's transaction it comes after lease and session.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PLACES_LOCK})


async def hold_still(connection: AsyncConnection) -> None:
    """Have places stay as they are until the transaction ends; others may hold them still as well.

    For a transaction that takes photos out of a session: their counters are told under this lock, which must come
    before the rows that it locks, as it does where places change.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": PLACES_LOCK})


async def vacate(connection: AsyncConnection, asset_ids: Sequence[int], *, model_id: str) -> None:
    """Give up the places of photos' faces, before the faces themselves are removed."""
    parameters = {"asset_ids": list(asset_ids), "model_id": model_id, "live": LIVE_GENERATION}
    of_the_photos = "asset_id = ANY(CAST(:asset_ids AS bigint[])) AND model_id = :model_id AND generation = :live"
    there = await connection.execute(text(f"SELECT 1 FROM faces WHERE {of_the_photos} LIMIT 1"), parameters)  # noqa: S608
    if there.first() is None:
        return
    await lock(connection)
    await connection.execute(
        text(f"DELETE FROM face_places WHERE face_id IN (SELECT id FROM faces WHERE {of_the_photos})"),  # noqa: S608
        parameters,
    )


async def apply_corrections(connection: AsyncConnection, asset_ids: Sequence[int] | None = None) -> None:
    """Make each corrected face of some photos, or of all, who people said that it is.

    A face is the person that somebody named last; else its group's person, unless somebody said that it is not: then it
    leaves the group too, and is nobody's. A face of which nothing is said any more is its group's person again.
    """
    said = SAID % ("true" if asset_ids is None else _OF_THE_PHOTOS)
    of_them = "true" if asset_ids is None else "p.asset_id = ANY(CAST(:asset_ids AS bigint[]))"
    await connection.execute(
        text(f"""
            WITH said AS ({said}),
            named AS (SELECT DISTINCT ON (face_id) face_id, person_id FROM said WHERE kind = 'is'
                ORDER BY face_id, id DESC),
            decided AS (
                SELECT p.face_id, n.person_id AS named, g.person_id AS grouped, EXISTS (
                    SELECT 1 FROM said s WHERE s.face_id = p.face_id AND s.kind = 'is_not'
                        AND (g.id IS NULL OR s.person_id = g.person_id)) AS excluded
                FROM face_places p LEFT JOIN named n ON n.face_id = p.face_id LEFT JOIN groups g ON g.id = p.group_id
                WHERE p.face_id IN (SELECT face_id FROM said) OR (p.is_manual AND {of_them})),
            outcome AS (
                SELECT face_id, named IS NOT NULL OR excluded AS is_manual, named IS NULL AND excluded AS is_nobodys,
                    CASE WHEN named IS NOT NULL THEN named WHEN NOT excluded THEN grouped END AS person_id
                FROM decided)
            UPDATE face_places p SET person_id = o.person_id, is_manual = o.is_manual,
                group_id = CASE WHEN o.is_nobodys THEN NULL ELSE p.group_id END,
                probability = CASE WHEN o.is_nobodys THEN NULL ELSE p.probability END
            FROM outcome o
            WHERE p.face_id = o.face_id AND ((p.person_id, p.is_manual) IS DISTINCT FROM (o.person_id, o.is_manual)
                OR (o.is_nobodys AND p.group_id IS NOT NULL))"""),  # noqa: S608
        {} if asset_ids is None else {"asset_ids": list(asset_ids)},
    )


async def corrections_of(connection: AsyncConnection, asset_id: int, face_id: int) -> list[tuple[int, int, str]]:
    """What people said of a face: (correction, person, kind), oldest first."""
    said = SAID % _OF_THE_PHOTOS
    rows = await connection.execute(
        text(f"SELECT id, person_id, kind FROM ({said}) said WHERE face_id = :face_id ORDER BY id"),  # noqa: S608
        {"asset_ids": [asset_id], "face_id": face_id},
    )
    return [(row.id, row.person_id, row.kind) for row in rows]


async def renew_covers(connection: AsyncConnection, person_ids: Sequence[int] | None = None) -> None:
    """Give some persons, or all, whose cover is not their face any more the strongest face that they have."""
    of_them = "true" if person_ids is None else _OF_THE_PERSONS
    await connection.execute(
        text(f"""
            WITH bare AS MATERIALIZED (
                SELECT p.id FROM persons p
                LEFT JOIN face_places c ON c.face_id = p.cover_face_id AND c.person_id = p.id AND c.shown
                WHERE c.face_id IS NULL AND (p.face_count > 0 OR p.cover_face_id IS NOT NULL)
                    AND {of_them})
            UPDATE persons p SET cover_face_id = (
                SELECT q.face_id FROM face_places q WHERE q.person_id = p.id AND q.shown
                ORDER BY q.probability DESC NULLS LAST, q.face_id LIMIT 1)
            FROM bare WHERE bare.id = p.id"""),  # noqa: S608 - constants
        {} if person_ids is None else {"ids": list(person_ids)},
    )


async def remove_nobodies(connection: AsyncConnection, person_ids: Sequence[int] | None = None) -> None:
    """Remove those of some persons, or of all, who have no name, no face, no group, and whom nobody named a face."""
    of_them = "true" if person_ids is None else _OF_THE_PERSONS
    await connection.execute(
        text(f"""
            DELETE FROM persons p WHERE p.name IS NULL AND p.face_count = 0 AND {of_them}
                AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.person_id = p.id AND c.kind = 'is')
                AND NOT EXISTS (SELECT 1 FROM groups g WHERE g.person_id = p.id)"""),  # noqa: S608 - constants
        {} if person_ids is None else {"ids": list(person_ids)},
    )
