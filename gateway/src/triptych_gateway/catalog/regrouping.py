"""Writing a new clustering in place of the former one, so that persons, their names and corrections stay."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog import former_persons, places
from triptych_gateway.catalog.former_persons import FormerPersons
from triptych_gateway.catalog.person_matching import match_groups
from triptych_gateway.catalog.schema import LIVE_GENERATION

WRITTEN_AT_ONCE: Final = 50_000
"""Places written by one statement, so that none lasts so long that the database is taken for away."""


@dataclass(frozen=True, kw_only=True)
class NewGroup:
    """A group as clustering found it."""

    face_ids: Sequence[int]
    probabilities: Sequence[float]
    cohesion: float


async def replace_clustering(
    connection: AsyncConnection,
    *,
    former: FormerPersons,
    session_id: int,
    model_id: str,
    parameters: Mapping[str, float],
    face_count: int,
    groups: Sequence[NewGroup],
    outliers: Sequence[int] = (),
    forget_persons_of_session: bool = False,
) -> None:
    """Make these groups the ones that are shown, in place of the former ones, in the caller's transaction.

    ``former`` is what `remember_persons` gave, in the same transaction. ``outliers`` are the faces in no group. A new
    group is the person that `match_groups` finds, else a new one; corrections come after and win. With
    ``forget_persons_of_session`` the persons with a face in the session's photos are not recognised: their names and
    what people said of them are lost.
    """
    if former.model_id != model_id:
        raise ValueError(f"the persons of {former.model_id} were remembered, not those of {model_id}")
    await _stage(connection, groups, outliers)
    await _clear(connection, model_id=model_id)
    if forget_persons_of_session:
        await former_persons.forget_session(connection, session_id)
    await former_persons.recognise(connection)
    persons = match_groups(await former_persons.overlaps(connection))
    clustering_id = (
        await connection.execute(
            text("""
                INSERT INTO clusterings (session_id, model_id, parameters, face_count, active)
                VALUES (:session_id, :model_id, CAST(:parameters AS jsonb), :face_count, true) RETURNING id"""),
            {
                "session_id": session_id,
                "model_id": model_id,
                "parameters": json.dumps(dict(parameters)),
                "face_count": face_count,
            },
        )
    ).scalar_one()
    await _write_groups(connection, clustering_id, groups, persons)
    await _write_places(
        connection,
        clustering_id,
        model_id=model_id,
        faces=sum(len(group.face_ids) for group in groups) + len(outliers),
    )
    await places.apply_corrections(connection)
    await _count(connection)
    await former_persons.keep_covers(connection)
    await places.renew_covers(connection)
    await places.remove_nobodies(connection)


async def _stage(connection: AsyncConnection, groups: Sequence[NewGroup], outliers: Sequence[int]) -> None:
    """Copy the new clustering's faces into a table of the transaction, without those that are gone meanwhile."""
    await connection.execute(text("DROP TABLE IF EXISTS pg_temp.new_faces"))
    await connection.execute(
        text("""
            CREATE TEMPORARY TABLE new_faces (
                ordinal bigint PRIMARY KEY, face_id bigint NOT NULL, number integer, probability float8)
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


async def _clear(connection: AsyncConnection, *, model_id: str) -> None:
    """Remove the former clustering, and what another model found in the photos that this one knows now."""
    for statement in (
        """DELETE FROM face_places WHERE clustering_id IN (
           SELECT id FROM clusterings WHERE active AND model_id = :model_id)""",
        """DELETE FROM groups WHERE clustering_id IN (
           SELECT id FROM clusterings WHERE active AND model_id = :model_id)""",
        "DELETE FROM clusterings WHERE active AND model_id = :model_id",
        """DELETE FROM face_places p USING face_scans c, assets a
           WHERE c.asset_id = p.asset_id AND c.model_id = :model_id AND c.generation = :live
           AND a.id = c.asset_id AND a.version = c.asset_version""",
        """DELETE FROM groups g WHERE NOT EXISTS (SELECT 1 FROM face_places p WHERE p.group_id = g.id)""",
        """DELETE FROM clusterings k WHERE model_id <> :model_id
           AND NOT EXISTS (SELECT 1 FROM face_places p WHERE p.clustering_id = k.id)""",
    ):
        values = {"model_id": model_id, "live": LIVE_GENERATION}
        await connection.execute(
            text(statement), {name: value for name, value in values.items() if f":{name}" in statement}
        )


async def _write_groups(
    connection: AsyncConnection, clustering_id: int, groups: Sequence[NewGroup], persons: Mapping[int, int]
) -> None:
    """Write the groups that have faces, and a new person for each that is nobody's; `new_faces` says which faces."""
    await connection.execute(text("DROP TABLE IF EXISTS pg_temp.new_groups"))
    await connection.execute(
        text("""
            CREATE TEMPORARY TABLE new_groups ON COMMIT DROP AS
            SELECT m.number, nextval(pg_get_serial_sequence('groups', 'id')) AS id, m.cohesion,
                coalesce(m.person_id, nextval(pg_get_serial_sequence('persons', 'id'))) AS person_id,
                m.person_id IS NULL AS is_new
            FROM unnest(CAST(:numbers AS integer[]), CAST(:cohesions AS float8[]), CAST(:persons AS bigint[]))
                AS m(number, cohesion, person_id)
            WHERE EXISTS (SELECT 1 FROM pg_temp.new_faces n WHERE n.number = m.number) ORDER BY m.number"""),
        {
            "numbers": list(range(len(groups))),
            "cohesions": [group.cohesion for group in groups],
            "persons": [persons.get(number) for number in range(len(groups))],
        },
    )
    await connection.execute(
        text("""
            INSERT INTO persons (id) OVERRIDING SYSTEM VALUE SELECT person_id FROM pg_temp.new_groups WHERE is_new""")
    )
    await connection.execute(
        text("""
            INSERT INTO groups (id, clustering_id, person_id, face_count, cohesion) OVERRIDING SYSTEM VALUE
            SELECT id, :clustering_id, person_id, 0, cohesion FROM pg_temp.new_groups"""),
        {"clustering_id": clustering_id},
    )


async def _write_places(connection: AsyncConnection, clustering_id: int, *, model_id: str, faces: int) -> None:
    """Write where each of so many faces stands; those of missing photos wait, as who they were."""
    for first in range(0, faces, WRITTEN_AT_ONCE):
        await connection.execute(
            text("""
                INSERT INTO face_places (face_id, clustering_id, asset_id, group_id, person_id, probability, shown)
                SELECT f.id, :clustering_id, f.asset_id, g.id, g.person_id, n.probability, a.missing_at IS NULL
                FROM pg_temp.new_faces n JOIN faces f ON f.id = n.face_id JOIN assets a ON a.id = f.asset_id
                LEFT JOIN pg_temp.new_groups g ON g.number = n.number
                WHERE n.ordinal >= :first AND n.ordinal < :after ORDER BY n.ordinal FOR KEY SHARE OF f"""),
            {"clustering_id": clustering_id, "first": first, "after": first + WRITTEN_AT_ONCE},
        )
    await connection.execute(
        text("""
            INSERT INTO face_places (face_id, clustering_id, asset_id, person_id, shown)
            SELECT f.id, :clustering_id, f.asset_id, p.id, false
            FROM pg_temp.former_faces r JOIN faces f ON f.id = r.face_id JOIN persons p ON p.id = r.person_id
            JOIN assets a ON a.id = f.asset_id
            WHERE f.model_id = :model_id AND a.missing_at IS NOT NULL
            ON CONFLICT (face_id) DO NOTHING"""),
        {"clustering_id": clustering_id, "model_id": model_id},
    )


async def _count(connection: AsyncConnection) -> None:
    """Count what the triggers count otherwise."""
    for statement in (
        """UPDATE persons p SET face_count = coalesce(c.faces, 0), asset_count = coalesce(c.assets, 0),
               updated_at = now()
           FROM persons q LEFT JOIN (
               SELECT person_id, count(*) AS faces, count(DISTINCT asset_id) AS assets
               FROM face_places WHERE shown AND person_id IS NOT NULL GROUP BY person_id) c ON c.person_id = q.id
           WHERE q.id = p.id
           AND (p.face_count, p.asset_count) IS DISTINCT FROM (coalesce(c.faces, 0), coalesce(c.assets, 0))""",
        """UPDATE groups g SET face_count = coalesce(c.faces, 0)
           FROM groups h LEFT JOIN (
               SELECT group_id, count(*) AS faces FROM face_places WHERE shown AND group_id IS NOT NULL
               GROUP BY group_id) c ON c.group_id = h.id
           WHERE h.id = g.id AND g.face_count <> coalesce(c.faces, 0)""",
        """UPDATE clusterings k SET unassigned_count = (
               SELECT count(*) FROM face_places p
               WHERE p.clustering_id = k.id AND p.group_id IS NULL AND p.person_id IS NULL AND p.shown)""",
        "DELETE FROM session_persons",
        """INSERT INTO session_persons (session_id, person_id, face_count)
           SELECT s.session_id, p.person_id, count(*)
           FROM face_places p JOIN session_assets s ON s.asset_id = p.asset_id
           WHERE p.shown AND p.person_id IS NOT NULL GROUP BY s.session_id, p.person_id""",
        "DELETE FROM session_groups",
        """INSERT INTO session_groups (session_id, group_id, face_count)
           SELECT s.session_id, p.group_id, count(*)
           FROM face_places p JOIN session_assets s ON s.asset_id = p.asset_id
           WHERE p.shown AND p.group_id IS NOT NULL GROUP BY s.session_id, p.group_id""",
        "DELETE FROM session_faces",
        """INSERT INTO session_faces (session_id, in_groups, of_persons)
           SELECT session_id, sum(in_groups), sum(of_persons) FROM (
               SELECT session_id, face_count AS in_groups, 0 AS of_persons FROM session_groups
               UNION ALL SELECT session_id, 0, face_count FROM session_persons) c
           GROUP BY session_id""",
        "SET LOCAL triptych.counting = 'on'",
    ):
        await connection.execute(text(statement))
