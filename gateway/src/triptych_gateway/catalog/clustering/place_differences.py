"""What a new clustering changes in where faces stand: staged beside what is there, compared, and only that written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.people.places import SAID
from triptych_gateway.catalog.schema import LIVE_GENERATION

WRITTEN_AT_ONCE: Final = 50_000
"""Places written by one statement, so that none lasts so long that the database is taken for away."""
SAME_STRENGTH: Final = 1e-4
"""Strengths of membership and cohesions that differ by less are the same: no list shows more of them, and grouping the
same faces in other blocks gives other last digits of float32."""


@dataclass(frozen=True, kw_only=True)
class NewGroup:
    """A group as clustering found it."""

    face_ids: Sequence[int]
    probabilities: Sequence[float]
    cohesion: float


async def stage(connection: AsyncConnection, groups: Sequence[NewGroup], outliers: Sequence[int]) -> None:
    """Copy a clustering's faces into the table `new_faces` of the transaction, without those that are gone meanwhile.

    Of each its group's index in ``groups``, none for ``outliers``, and its probability.
    """
    await connection.execute(text("DROP TABLE IF EXISTS pg_temp.new_faces"))
    await connection.execute(
        text("""
            CREATE TEMPORARY TABLE new_faces (
                ordinal bigint NOT NULL, face_id bigint NOT NULL, number integer, probability float8)
            ON COMMIT DROP""")
    )
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    if driver is None:
        raise RuntimeError("a connection that is open has a driver's connection")
    await driver.copy_records_to_table("new_faces", records=_records(groups, outliers))
    await connection.execute(
        text("DELETE FROM pg_temp.new_faces n WHERE NOT EXISTS (SELECT 1 FROM faces f WHERE f.id = n.face_id)")
    )
    await connection.execute(text("ANALYZE pg_temp.new_faces"))


def _records(
    groups: Sequence[NewGroup], outliers: Sequence[int]
) -> Iterator[tuple[int, int, int | None, float | None]]:
    """Ordinal, face, number of its group and probability of each face, group by group."""
    ordinals = count()
    for number, group in enumerate(groups):
        for face_id, probability in zip(group.face_ids, group.probabilities, strict=True):
            yield next(ordinals), face_id, number, probability
    for face_id in outliers:
        yield next(ordinals), face_id, None, None


async def compare(connection: AsyncConnection, clustering_id: int) -> int:
    """Find the staged faces that stand elsewhere than they do now, or nowhere, and those that stand where none is now.

    They are kept in the tables `changed_places` and `former_places` of the transaction; returns how many there are. The
    groups' ids are taken from the table `new_groups`. A face that left its group because it is not that person is not
    put back there.
    """
    for statement in (
        "DROP TABLE IF EXISTS pg_temp.changed_places, pg_temp.former_places",
        f"""CREATE TEMPORARY TABLE changed_places ON COMMIT DROP AS
            WITH said_not AS MATERIALIZED ({SAID % "c.kind = 'is_not'"})
            SELECT row_number() OVER (ORDER BY n.ordinal) - 1 AS ordinal, n.face_id, g.id AS group_id, g.person_id,
                n.probability, p.face_id IS NULL AS is_new
            FROM pg_temp.new_faces n LEFT JOIN pg_temp.new_groups g ON g.number = n.number
            LEFT JOIN face_places p ON p.face_id = n.face_id
            WHERE p.face_id IS NULL OR p.clustering_id <> :clustering_id
                OR ((p.group_id IS DISTINCT FROM g.id
                    OR (NOT p.is_manual AND p.person_id IS DISTINCT FROM g.person_id)
                    OR abs(coalesce(p.probability, -1) - coalesce(n.probability, -1)) > {SAME_STRENGTH})
                AND NOT (p.is_manual AND p.person_id IS NULL AND p.group_id IS NULL AND EXISTS (SELECT 1 FROM said_not s
                    WHERE s.face_id = n.face_id AND s.person_id = g.person_id)))""",  # noqa: S608
        """CREATE TEMPORARY TABLE former_places ON COMMIT DROP AS
            SELECT p.face_id, p.person_id IS NOT NULL AND EXISTS (
                SELECT 1 FROM assets a WHERE a.id = p.asset_id AND a.missing_at IS NOT NULL) AS waits
            FROM face_places p
            WHERE p.clustering_id = :clustering_id
                AND NOT EXISTS (SELECT 1 FROM pg_temp.new_faces n WHERE n.face_id = p.face_id)""",
        "ANALYZE pg_temp.changed_places",
        "ANALYZE pg_temp.former_places",
    ):
        values = {"clustering_id": clustering_id} if ":clustering_id" in statement else {}
        await connection.execute(text(statement), values)
    counted = await connection.execute(
        text("SELECT (SELECT count(*) FROM pg_temp.changed_places) + (SELECT count(*) FROM pg_temp.former_places)")
    )
    return int(counted.scalar_one())


async def write(connection: AsyncConnection, clustering_id: int) -> None:
    """Bring the places to what `compare` found; those of missing photos wait, as who they were.

    A face that somebody said something of keeps its person: `places.apply_corrections` decides.
    """
    await _leave(connection)
    last = await connection.execute(text("SELECT coalesce(max(ordinal), -1) FROM pg_temp.changed_places"))
    for first in range(0, int(last.scalar_one()) + 1, WRITTEN_AT_ONCE):
        part = {"clustering_id": clustering_id, "first": first, "after": first + WRITTEN_AT_ONCE}
        await connection.execute(
            text("""
                UPDATE face_places p SET clustering_id = :clustering_id, group_id = c.group_id,
                    person_id = CASE WHEN p.is_manual THEN p.person_id ELSE c.person_id END,
                    probability = c.probability
                FROM pg_temp.changed_places c
                WHERE c.face_id = p.face_id AND NOT c.is_new AND c.ordinal >= :first AND c.ordinal < :after"""),
            part,
        )
        await connection.execute(
            text("""
                INSERT INTO face_places (face_id, clustering_id, asset_id, group_id, person_id, probability, shown)
                SELECT f.id, :clustering_id, f.asset_id, c.group_id, c.person_id, c.probability, a.missing_at IS NULL
                FROM pg_temp.changed_places c JOIN faces f ON f.id = c.face_id JOIN assets a ON a.id = f.asset_id
                WHERE c.is_new AND c.ordinal >= :first AND c.ordinal < :after
                ORDER BY c.ordinal FOR KEY SHARE OF f"""),
            part,
        )


async def _leave(connection: AsyncConnection) -> None:
    for statement in (
        """UPDATE face_places p SET group_id = NULL, probability = NULL FROM pg_temp.former_places f
           WHERE f.face_id = p.face_id AND f.waits AND (p.group_id IS NOT NULL OR p.probability IS NOT NULL)""",
        "DELETE FROM face_places p USING pg_temp.former_places f WHERE f.face_id = p.face_id AND NOT f.waits",
    ):
        await connection.execute(text(statement))


async def remove_other_models(connection: AsyncConnection, clustering_id: int, *, model_id: str) -> int:
    """Remove what other models' clusterings show in photos that this model knows now; returns how many faces."""
    others = {"clustering_id": clustering_id}
    there = await connection.execute(text("SELECT 1 FROM clusterings WHERE id <> :clustering_id LIMIT 1"), others)
    if there.first() is None:
        return 0
    removed = await connection.execute(
        text("""
            DELETE FROM face_places p USING face_scans c, assets a
            WHERE p.clustering_id <> :clustering_id AND c.asset_id = p.asset_id AND c.model_id = :model_id
                AND c.generation = :live AND a.id = c.asset_id AND a.version = c.asset_version"""),
        {**others, "model_id": model_id, "live": LIVE_GENERATION},
    )
    for statement in (
        """DELETE FROM groups g WHERE g.clustering_id <> :clustering_id
           AND NOT EXISTS (SELECT 1 FROM face_places p WHERE p.group_id = g.id)""",
        """DELETE FROM clusterings k WHERE k.id <> :clustering_id
           AND NOT EXISTS (SELECT 1 FROM face_places p WHERE p.clustering_id = k.id)""",
    ):
        await connection.execute(text(statement), others)
    return removed.rowcount
