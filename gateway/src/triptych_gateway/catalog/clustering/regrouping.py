"""Writing a new clustering in place of the former one, so that persons, their names and corrections stay."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.clustering import former_persons, place_counters, place_differences
from triptych_gateway.catalog.clustering.assignment import assign
from triptych_gateway.catalog.clustering.former_persons import FormerPersons
from triptych_gateway.catalog.clustering.person_changes import ChangeKind, PersonChange, person_changes
from triptych_gateway.catalog.clustering.person_matching import match_groups
from triptych_gateway.catalog.clustering.place_differences import SAME_STRENGTH, NewGroup
from triptych_gateway.catalog.people import person_separation, places

__all__ = ["NamedPersonChange", "NewGroup", "Regrouped", "replace_clustering"]

RECOUNTED_SHARE: Final = 0.1
"""Share of the faces from which counting all is quicker than counting what changed."""


@dataclass(frozen=True, kw_only=True)
class Regrouped:
    """What a new clustering changed."""

    faces_changed: int
    """Faces that stand elsewhere than before, are new, or are gone."""
    groups_kept: int
    """Groups that have the id of a former one."""
    persons_changed: Mapping[str, int]
    """How many persons were split, merged and ungrouped."""
    named: tuple["NamedPersonChange", ...]
    """What became of those of them who have a name."""


@dataclass(frozen=True, kw_only=True)
class NamedPersonChange:
    """That a person with a name is not the same faces any more; see `PersonChange`."""

    kind: ChangeKind
    person_id: int
    name: str
    into_id: int | None
    """Who the faces that left are now; None where they are in no group."""
    faces: int


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
) -> Regrouped:
    """Make these groups the ones that are shown, in place of the former ones, in the caller's transaction.

    ``former`` is what `remember_persons` gave, in the same transaction. ``outliers`` are the faces in no group. A new
    group is the person that `match_groups` finds, else a new one; corrections come after and win, and persons who are
    said to be two are taken apart before. It has the id of the
    former group with which it shares most. What stands where it stood is not written. With
    ``forget_persons_of_session`` the persons with a face in the session's photos are not recognised: their names and
    what people said of them are lost.
    """
    if former.model_id != model_id:
        raise ValueError(f"the persons of {former.model_id} were remembered, not those of {model_id}")
    await place_differences.stage(connection, groups, outliers)
    clustering_id = await _renew_clustering(
        connection, session_id=session_id, model_id=model_id, parameters=parameters, face_count=face_count
    )
    if forget_persons_of_session:
        await _clear(connection, clustering_id)
        await former_persons.forget_session(connection, session_id)
    await former_persons.recognise(connection)
    cohesions = [group.cohesion for group in groups]
    cohesions += [cohesions[number] for number in await person_separation.separate(connection, len(groups))]
    kept = await _kept_groups(connection, clustering_id)
    overlaps = await former_persons.overlaps(connection)
    persons = await asyncio.to_thread(match_groups, overlaps)
    await _write_groups(connection, clustering_id, cohesions, persons, kept)
    faces_changed = await place_differences.compare(connection, clustering_id)
    # Places that went with their faces since the picture was taken were not counted.
    recounts = faces_changed > RECOUNTED_SHARE * face_count or await former_persons.count_places(connection) != (
        former.places
    )
    if not recounts:
        await place_counters.go_on_counting(connection)
    await place_differences.write(connection, clustering_id)
    await place_differences.remove_other_models(connection, clustering_id, model_id=model_id)
    await _remove_former_groups(connection, clustering_id)
    await places.apply_corrections(connection)
    if recounts:
        await place_counters.recount(connection)
    await former_persons.keep_covers(connection)
    await places.renew_covers(connection)
    await places.remove_nobodies(connection)
    changes = person_changes(overlaps, persons, former=await former_persons.grouped(connection))
    return Regrouped(
        faces_changed=faces_changed,
        groups_kept=len(kept),
        persons_changed=Counter(change.kind for change in changes),
        named=tuple(await _named_changes(connection, changes)),
    )


async def _named_changes(connection: AsyncConnection, changes: Sequence[PersonChange]) -> list[NamedPersonChange]:
    rows = await connection.execute(
        text("SELECT id, name FROM persons WHERE name IS NOT NULL AND id = ANY(CAST(:ids AS bigint[]))"),
        {"ids": sorted({change.person_id for change in changes})},
    )
    named = {row.id: row.name for row in rows}
    rows = await connection.execute(text("SELECT number, person_id FROM pg_temp.new_groups"))
    persons = {row.number: row.person_id for row in rows} if named else {}
    return [
        NamedPersonChange(
            kind=change.kind,
            person_id=change.person_id,
            name=named[change.person_id],
            into_id=None if change.group is None else persons[change.group],
            faces=change.faces,
        )
        for change in changes
        if change.person_id in named
    ]


async def _renew_clustering(
    connection: AsyncConnection,
    *,
    session_id: int,
    model_id: str,
    parameters: Mapping[str, float],
    face_count: int,
) -> int:
    """Let the model's active clustering, or a new one, be this; returns its id."""
    clustering_id: int = (
        await connection.execute(
            text("""
                INSERT INTO clusterings AS k (session_id, model_id, parameters, face_count, active)
                VALUES (:session_id, :model_id, CAST(:parameters AS jsonb), :face_count, true)
                ON CONFLICT (model_id) WHERE active DO UPDATE SET session_id = excluded.session_id,
                    parameters = excluded.parameters, face_count = excluded.face_count, created_at = now()
                RETURNING id"""),
            {
                "session_id": session_id,
                "model_id": model_id,
                "parameters": json.dumps(dict(parameters)),
                "face_count": face_count,
            },
        )
    ).scalar_one()
    return clustering_id


async def _kept_groups(connection: AsyncConnection, clustering_id: int) -> dict[int, int]:
    """For each new group the former one that it goes on: so that as many faces as can be stay in their groups."""
    rows = await connection.execute(
        text("""
            SELECT n.number, p.group_id, count(*) AS faces
            FROM pg_temp.new_faces n JOIN face_places p ON p.face_id = n.face_id
            WHERE n.number IS NOT NULL AND p.group_id IS NOT NULL AND p.clustering_id = :clustering_id
            GROUP BY n.number, p.group_id"""),
        {"clustering_id": clustering_id},
    )
    shared = {(row.number, row.group_id): row.faces for row in rows}
    return await asyncio.to_thread(assign, shared)


async def _clear(connection: AsyncConnection, clustering_id: int) -> None:
    """Remove what the clustering was, so that persons can be removed without each of their faces being changed."""
    for statement in (
        "DELETE FROM face_places WHERE clustering_id = :clustering_id",
        "DELETE FROM groups WHERE clustering_id = :clustering_id",
    ):
        await connection.execute(text(statement), {"clustering_id": clustering_id})


async def _write_groups(
    connection: AsyncConnection,
    clustering_id: int,
    cohesions: Sequence[float],
    persons: Mapping[int, int],
    kept: Mapping[int, int],
) -> None:
    """Write the groups that have faces, and a new person for each that is nobody's; `new_faces` says which faces."""
    await connection.execute(text("DROP TABLE IF EXISTS pg_temp.new_groups"))
    await connection.execute(
        text("""
            CREATE TEMPORARY TABLE new_groups ON COMMIT DROP AS
            SELECT m.number, coalesce(m.group_id, nextval(pg_get_serial_sequence('groups', 'id'))) AS id, m.cohesion,
                m.group_id IS NULL AS is_new,
                coalesce(m.person_id, nextval(pg_get_serial_sequence('persons', 'id'))) AS person_id,
                m.person_id IS NULL AS is_new_person
            FROM unnest(CAST(:numbers AS integer[]), CAST(:cohesions AS float8[]), CAST(:persons AS bigint[]),
                CAST(:kept AS bigint[])) AS m(number, cohesion, person_id, group_id)
            WHERE EXISTS (SELECT 1 FROM pg_temp.new_faces n WHERE n.number = m.number) ORDER BY m.number"""),
        {
            "numbers": list(range(len(cohesions))),
            "cohesions": list(cohesions),
            "persons": [persons.get(number) for number in range(len(cohesions))],
            "kept": [kept.get(number) for number in range(len(cohesions))],
        },
    )
    for statement in (
        "ANALYZE pg_temp.new_groups",
        """INSERT INTO persons (id) OVERRIDING SYSTEM VALUE
           SELECT person_id FROM pg_temp.new_groups WHERE is_new_person""",
        f"""UPDATE groups g SET person_id = n.person_id, cohesion = n.cohesion FROM pg_temp.new_groups n
            WHERE n.id = g.id AND NOT n.is_new
                AND (n.person_id IS DISTINCT FROM g.person_id OR abs(n.cohesion - g.cohesion) > {SAME_STRENGTH})""",  # noqa: S608
        """INSERT INTO groups (id, clustering_id, person_id, face_count, cohesion) OVERRIDING SYSTEM VALUE
           SELECT id, :clustering_id, person_id, 0, cohesion FROM pg_temp.new_groups WHERE is_new""",
    ):
        values = {"clustering_id": clustering_id} if ":clustering_id" in statement else {}
        await connection.execute(text(statement), values)


async def _remove_former_groups(connection: AsyncConnection, clustering_id: int) -> None:
    """Remove the clustering's groups that are none of the new ones: their faces are elsewhere by now."""
    await connection.execute(
        text("""
            DELETE FROM groups g WHERE g.clustering_id = :clustering_id
                AND NOT EXISTS (SELECT 1 FROM pg_temp.new_groups n WHERE n.id = g.id)"""),
        {"clustering_id": clustering_id},
    )
