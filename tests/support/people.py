"""Faces in photos, grouped and searched for again, as the pipeline would write them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.catalogue import DIMENSION, FACES, begin, items_of, new_session, table
from triptych_gateway.catalog.clustering.former_persons import remember_persons
from triptych_gateway.catalog.clustering.regrouping import NewGroup, Regrouped, replace_clustering
from triptych_gateway.catalog.runs import generations, lifecycle, results
from triptych_gateway.catalog.runs.results import FoundFace, Outcome

APART = 0.25
"""How far the faces of a photo lie apart; their boxes are 0.2 wide."""


async def library(
    connection: AsyncConnection, counts: Sequence[int], *, folder: bytes = b"/photos", model_id: str = FACES
) -> tuple[int, list[int]]:
    """A session with a photo for each of `counts`, with so many faces side by side (at most four); it and their ids."""
    paths = [folder + b"/%03d" % number for number in range(len(counts))]
    session_id = await new_session(connection, paths=paths)
    return session_id, await detect(connection, session_id, counts, model_id=model_id)


async def detect(
    connection: AsyncConnection, session_id: int, counts: Sequence[int], *, model_id: str = FACES, shift: float = 0.0
) -> list[int]:
    """Search the session's photos for faces, so many in each; returns the ids of its faces of that model."""
    run = await begin(connection, session_id, "face_detection", model=model_id)
    outcomes = [
        Outcome(
            item=item,
            result=tuple(_found(n, shift) for n in range(count)),
            facts=None,
            processing_microseconds=10,
        )
        for item, count in zip(await items_of(connection, run), counts, strict=True)
    ]
    await results.write_outcomes(connection, run, outcomes, model_id=model_id)
    rows = await table(
        connection,
        """SELECT f.id FROM faces f JOIN session_assets s ON s.asset_id = f.asset_id
           WHERE s.session_id = :id AND f.model_id = :model ORDER BY f.asset_id, f.position""",
        id=session_id,
        model=model_id,
    )
    return [row[0] for row in rows]


def _found(number: int, shift: float) -> FoundFace:
    return FoundFace(
        x=APART * number + shift,
        y=0.3,
        width=0.2,
        height=0.2,
        landmarks=((0.1, 0.1),) * 5,
        score=0.9,
        embedding=np.full(DIMENSION, number, np.float32),
    )


async def regroup(
    connection: AsyncConnection,
    session_id: int,
    *groups: Sequence[int],
    outliers: Iterable[int] = (),
    forget: bool = False,
    generation: int = 1,
    model_id: str = FACES,
) -> Regrouped:
    """End a clustering that found these groups; with a generation, publish that detection's faces with it."""
    former = await remember_persons(connection, model_id=model_id)
    run = (await lifecycle.latest_runs(connection, session_id))["face_detection"]
    await generations.publish(connection, replace(run, generation=generation, model={"id": model_id}))
    return await replace_clustering(
        connection,
        former=former,
        session_id=session_id,
        model_id=model_id,
        parameters={"ceiling": 0.5},
        face_count=sum(map(len, groups)),
        groups=[
            NewGroup(face_ids=ids, probabilities=[1 / (n + 1) for n in range(len(ids))], cohesion=0.8) for ids in groups
        ],
        outliers=list(outliers),
        forget_persons_of_session=forget,
    )


async def search_again(connection: AsyncConnection, ids: Sequence[int], *, generation: int, shift: float) -> list[int]:
    """The same faces under another generation, their boxes a little aside; returns the new ids, in that order."""
    await connection.execute(
        text("""
            INSERT INTO face_scans (asset_id, model_id, generation, asset_version, face_count)
            SELECT asset_id, model_id, :generation, max(asset_version), max(face_count) FROM face_scans
            WHERE asset_id IN (SELECT asset_id FROM faces WHERE id = ANY(:ids)) AND generation = 1
            GROUP BY asset_id, model_id"""),
        {"generation": generation, "ids": list(ids)},
    )
    made = await table(
        connection,
        """
        INSERT INTO faces (asset_id, model_id, generation, position, x, y, width, height, landmarks, score, embedding)
        SELECT asset_id, model_id, :generation, 100 - position, x + :shift, y, width, height, landmarks, score,
            embedding
        FROM faces WHERE id = ANY(:ids) ORDER BY id DESC RETURNING id, asset_id, position""",
        generation=generation,
        shift=shift,
        ids=list(ids),
    )
    by_place = {(asset_id, 100 - position): face_id for face_id, asset_id, position in made}
    old = await table(connection, "SELECT id, asset_id, position FROM faces WHERE id = ANY(:ids)", ids=list(ids))
    new = {face_id: by_place[asset_id, position] for face_id, asset_id, position in old}
    return [new[face_id] for face_id in ids]


async def who(connection: AsyncConnection) -> dict[int, int | None]:
    """As whom each face is shown."""
    return dict(await table(connection, "SELECT face_id, person_id FROM face_places WHERE shown"))


async def name(connection: AsyncConnection, person_id: int | None, called: str) -> None:
    await connection.execute(
        text("UPDATE persons SET name = :name, name_folded = lower(:name) WHERE id = :id"),
        {"name": called, "id": person_id},
    )


async def names(connection: AsyncConnection) -> Mapping[str, int]:
    """Who has a name."""
    return {row[0]: row[1] for row in await table(connection, "SELECT name, id FROM persons WHERE name IS NOT NULL")}


async def wrong_counters(connection: AsyncConnection) -> list[tuple[object, ...]]:
    """Every counter of persons, groups and clusterings that is not what counting gives."""
    return await table(
        connection,
        """
        SELECT 'person', p.id, p.face_count, count(f.face_id), p.asset_count, count(DISTINCT f.asset_id)
        FROM persons p LEFT JOIN face_places f ON f.person_id = p.id AND f.shown GROUP BY p.id
        HAVING (p.face_count, p.asset_count) <> (count(f.face_id), count(DISTINCT f.asset_id))
        UNION ALL
        SELECT 'group', g.id, g.face_count, count(f.face_id), 0, 0
        FROM groups g LEFT JOIN face_places f ON f.group_id = g.id AND f.shown GROUP BY g.id
        HAVING g.face_count <> count(f.face_id)
        UNION ALL
        SELECT 'clustering', k.id, k.unassigned_count, u.faces, k.group_count, g.groups
        FROM clusterings k CROSS JOIN LATERAL (SELECT count(*) AS groups FROM groups WHERE clustering_id = k.id) g
        CROSS JOIN LATERAL (SELECT count(*) AS faces FROM face_places WHERE clustering_id = k.id AND shown
            AND group_id IS NULL AND person_id IS NULL) u
        WHERE (k.unassigned_count, k.group_count) <> (u.faces, g.groups)
        UNION ALL
        SELECT 'status', 0, k.count, count(p.id), 0, 0
        FROM person_counts k LEFT JOIN persons p ON p.status = k.status GROUP BY k.status, k.count
        HAVING k.count <> count(p.id)
        UNION ALL
        SELECT 'cover', p.id, p.cover_face_id, 0, 0, 0 FROM persons p
        WHERE p.cover_face_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM face_places f WHERE f.face_id = p.cover_face_id AND f.person_id = p.id)""",
    )
