"""Faces of the library, and the groups and persons that clustering makes of them.

The faces that count are those of a photo's present version in the current generation of a model: the *face space*.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.sessions import NotFoundError

_IN_SPACE: Final = """
    faces f JOIN face_scans c
        ON c.asset_id = f.asset_id AND c.model_id = f.model_id AND c.generation = f.generation
    JOIN assets a ON a.id = f.asset_id AND a.version = c.asset_version"""
SAMPLE_FACES: Final = 8
"""Faces that stand for a group in a list."""


@dataclass(frozen=True, kw_only=True)
class FaceVectors:
    """Some faces of a space; all arrays have the same length n."""

    face_ids: NDArray[np.int64]
    photo_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    vectors: NDArray[np.float32]
    """[n, d]."""


@dataclass(frozen=True, kw_only=True)
class NewGroup:
    """A group as clustering found it."""

    face_ids: Sequence[int]
    probabilities: Sequence[float]
    cohesion: float


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face as it is shown."""

    id: int
    asset_id: int
    path: bytes
    model_id: str
    x: float
    y: float
    width: float
    height: float
    score: float
    group_id: int | None
    person_id: int | None
    probability: float | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group as it is shown: strongest members first."""

    id: int
    model_id: str
    face_count: int
    cohesion: float
    person_id: int | None
    faces: tuple[Face, ...]


async def count_space(connection: AsyncConnection, *, model_id: str) -> int:
    """Faces of the library's space of a model."""
    count: int = (
        await connection.execute(text(f"SELECT count(*) FROM {_IN_SPACE} WHERE f.model_id = :m"), {"m": model_id})  # noqa: S608
    ).scalar_one()
    return count


async def count_session_faces(connection: AsyncConnection, session_id: int, *, model_id: str) -> int:
    """Faces of a model in a session's photos."""
    count: int = (
        await connection.execute(
            text(f"""
                SELECT count(*) FROM {_IN_SPACE} JOIN session_assets s ON s.asset_id = f.asset_id
                WHERE f.model_id = :model_id AND s.session_id = :session_id"""),  # noqa: S608
            {"model_id": model_id, "session_id": session_id},
        )
    ).scalar_one()
    return count


async def read_space(connection: AsyncConnection, *, model_id: str, batch: int = 2000) -> AsyncIterator[FaceVectors]:
    """All faces of the library's space of a model, by id, in batches."""
    result = await connection.stream(
        text(f"""
            SELECT f.id, f.asset_id, f.score, f.embedding FROM {_IN_SPACE}
            WHERE f.model_id = :model_id ORDER BY f.id"""),  # noqa: S608
        {"model_id": model_id},
    )
    async for rows in result.partitions(batch):
        yield FaceVectors(
            face_ids=np.array([row.id for row in rows], np.int64),
            photo_ids=np.array([row.asset_id for row in rows], np.int64),
            scores=np.array([row.score for row in rows], np.float32),
            vectors=np.stack([row.embedding.to_numpy() for row in rows]).astype(np.float32),
        )


async def replace_clustering(
    connection: AsyncConnection,
    *,
    session_id: int,
    model_id: str,
    parameters: Mapping[str, float],
    face_count: int,
    groups: Sequence[NewGroup],
) -> None:
    """Make these groups the ones that are shown, in place of the former ones, in the caller's transaction.

    A group is the person with whose former faces it shares most; a person goes to one group at most.
    """
    former = {
        row.face_id: row.person_id
        for row in await connection.execute(
            text("""
                SELECT gf.face_id, g.person_id FROM clusterings k
                JOIN groups g ON g.clustering_id = k.id JOIN group_faces gf ON gf.group_id = g.id
                WHERE k.active AND k.model_id = :model_id AND g.person_id IS NOT NULL"""),
            {"model_id": model_id},
        )
    }
    groups = await _still_there(connection, groups)
    persons = match_persons([group.face_ids for group in groups], former)
    await connection.execute(
        text("DELETE FROM clusterings WHERE active AND model_id = :model_id"), {"model_id": model_id}
    )
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
    for group, person_id in zip(groups, persons, strict=True):
        await _insert_group(connection, clustering_id, group, person_id)
    # A person without a name whom no group shows any more is nobody's work and nobody's memory.
    await connection.execute(
        text("""
            DELETE FROM persons p WHERE p.name IS NULL
            AND NOT EXISTS (SELECT 1 FROM groups g WHERE g.person_id = p.id)""")
    )


async def _still_there(connection: AsyncConnection, groups: Sequence[NewGroup]) -> list[NewGroup]:
    """The groups without faces that another session's detection has replaced since they were read; none is empty.

    The faces that are left stay until the transaction ends.
    """
    rows = await connection.execute(
        text("SELECT id FROM faces WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR KEY SHARE"),
        {"ids": [face_id for group in groups for face_id in group.face_ids]},
    )
    there = {row.id for row in rows}
    kept = []
    for group in groups:
        members = [m for m in zip(group.face_ids, group.probabilities, strict=True) if m[0] in there]
        if members:
            face_ids, probabilities = zip(*members, strict=True)
            kept.append(NewGroup(face_ids=face_ids, probabilities=probabilities, cohesion=group.cohesion))
    return kept


async def _insert_group(
    connection: AsyncConnection, clustering_id: int, group: NewGroup, person_id: int | None
) -> None:
    strongest = max(zip(group.probabilities, group.face_ids, strict=True))[1]
    if person_id is None:
        person_id = (
            await connection.execute(
                text("INSERT INTO persons (cover_face_id) VALUES (:face_id) RETURNING id"), {"face_id": strongest}
            )
        ).scalar_one()
    else:
        await connection.execute(
            text("UPDATE persons SET cover_face_id = coalesce(cover_face_id, :face_id) WHERE id = :id"),
            {"face_id": strongest, "id": person_id},
        )
    group_id = (
        await connection.execute(
            text("""
                INSERT INTO groups (clustering_id, person_id, face_count, cohesion)
                VALUES (:clustering_id, :person_id, :face_count, :cohesion) RETURNING id"""),
            {
                "clustering_id": clustering_id,
                "person_id": person_id,
                "face_count": len(group.face_ids),
                "cohesion": group.cohesion,
            },
        )
    ).scalar_one()
    await connection.execute(
        text("""
            INSERT INTO group_faces (group_id, face_id, probability)
            SELECT :group_id, face_id, probability
            FROM unnest(CAST(:faces AS bigint[]), CAST(:probabilities AS float8[])) AS m(face_id, probability)"""),
        {"group_id": group_id, "faces": list(group.face_ids), "probabilities": list(group.probabilities)},
    )


def match_persons(groups: Sequence[Sequence[int]], former: Mapping[int, int]) -> list[int | None]:
    """The person of each group: the one with most faces in common, largest overlaps first; None for a new person.

    ``former`` maps a face to the person it was shown as.
    """
    overlaps = [
        (count, -person_id, -index)
        for index, face_ids in enumerate(groups)
        for person_id, count in Counter(former[face] for face in face_ids if face in former).items()
    ]
    persons: list[int | None] = [None] * len(groups)
    taken: set[int] = set()
    for _, negative_person, negative_index in sorted(overlaps, reverse=True):
        person_id, index = -negative_person, -negative_index
        if persons[index] is None and person_id not in taken:
            persons[index] = person_id
            taken.add(person_id)
    return persons


async def count_session_groups(connection: AsyncConnection, session_id: int, *, model_id: str) -> int:
    """Groups of the active clustering that have a face in the session's photos."""
    count: int = (
        await connection.execute(
            text("""
                SELECT count(DISTINCT g.id) FROM clusterings k JOIN groups g ON g.clustering_id = k.id
                JOIN group_faces gf ON gf.group_id = g.id JOIN faces f ON f.id = gf.face_id
                JOIN session_assets s ON s.asset_id = f.asset_id
                WHERE k.active AND k.model_id = :model_id AND s.session_id = :session_id"""),
            {"model_id": model_id, "session_id": session_id},
        )
    ).scalar_one()
    return count


async def list_groups(
    connection: AsyncConnection, *, session_id: int | None, offset: int, limit: int
) -> tuple[list[Group], int]:
    """Groups that are shown, largest first, each with a few faces, and how many there are in all.

    With a session, only groups with a face in its photos.
    """
    condition = """
        FROM clusterings k JOIN groups g ON g.clustering_id = k.id
        WHERE k.active AND (CAST(:session_id AS bigint) IS NULL OR EXISTS (
            SELECT 1 FROM group_faces gf JOIN faces f ON f.id = gf.face_id
            JOIN session_assets s ON s.asset_id = f.asset_id
            WHERE gf.group_id = g.id AND s.session_id = :session_id))"""
    parameters = {"session_id": session_id, "offset": offset, "limit": limit}
    total = (await connection.execute(text(f"SELECT count(*) {condition}"), parameters)).scalar_one()
    rows = (
        await connection.execute(
            text(f"""
                SELECT g.id, k.model_id, g.face_count, g.cohesion, g.person_id {condition}
                ORDER BY g.face_count DESC, g.id OFFSET :offset LIMIT :limit"""),
            parameters,
        )
    ).all()
    samples = await _group_faces(connection, [row.id for row in rows], most=SAMPLE_FACES)
    return [_group(row, samples.get(row.id, ())) for row in rows], total


async def get_group(connection: AsyncConnection, group_id: int) -> Group:
    """A group with all its faces. Raises NotFoundError."""
    row = (
        await connection.execute(
            text("""
                SELECT g.id, k.model_id, g.face_count, g.cohesion, g.person_id
                FROM clusterings k JOIN groups g ON g.clustering_id = k.id WHERE k.active AND g.id = :id"""),
            {"id": group_id},
        )
    ).first()
    if row is None:
        raise NotFoundError(f"There is no group {group_id}.")
    samples = await _group_faces(connection, [group_id], most=row.face_count)
    return _group(row, samples[group_id])


def _group(row: Any, faces: Sequence[Face]) -> Group:
    return Group(
        id=row.id,
        model_id=row.model_id,
        face_count=row.face_count,
        cohesion=row.cohesion,
        person_id=row.person_id,
        faces=tuple(faces),
    )


async def _group_faces(connection: AsyncConnection, group_ids: Sequence[int], *, most: int) -> dict[int, list[Face]]:
    rows = await connection.execute(
        text("""
            SELECT * FROM (
                SELECT f.id, f.asset_id, a.path, f.model_id, f.x, f.y, f.width, f.height, f.score,
                    g.id AS group_id, g.person_id, gf.probability,
                    row_number() OVER (PARTITION BY g.id ORDER BY gf.probability DESC, f.score DESC, f.id) AS place
                FROM groups g JOIN group_faces gf ON gf.group_id = g.id
                JOIN faces f ON f.id = gf.face_id JOIN assets a ON a.id = f.asset_id
                WHERE g.id = ANY(CAST(:group_ids AS bigint[]))) ranked
            WHERE place <= :most ORDER BY group_id, place"""),
        {"group_ids": list(group_ids), "most": most},
    )
    faces: dict[int, list[Face]] = {}
    for row in rows:
        faces.setdefault(row.group_id, []).append(_face(row))
    return faces


def _face(row: Any) -> Face:
    return Face(**{name: getattr(row, name) for name in Face.__dataclass_fields__})


async def get_face(connection: AsyncConnection, face_id: int) -> Face:
    """A face. Raises NotFoundError."""
    row = (
        await connection.execute(
            text("""
                SELECT f.id, f.asset_id, a.path, f.model_id, f.x, f.y, f.width, f.height, f.score,
                    shown.group_id, shown.person_id, shown.probability
                FROM faces f JOIN assets a ON a.id = f.asset_id LEFT JOIN (
                    SELECT gf.face_id, g.id AS group_id, g.person_id, gf.probability
                    FROM group_faces gf JOIN groups g ON g.id = gf.group_id
                    JOIN clusterings k ON k.id = g.clustering_id AND k.active) shown ON shown.face_id = f.id
                WHERE f.id = :id"""),
            {"id": face_id},
        )
    ).first()
    if row is None:
        raise NotFoundError(f"There is no face {face_id}.")
    return _face(row)


async def count_session_persons(connection: AsyncConnection, session_id: int) -> int:
    """Persons with a face in the session's photos."""
    count: int = (
        await connection.execute(
            text("""
                SELECT count(DISTINCT g.person_id) FROM session_assets s JOIN faces f ON f.asset_id = s.asset_id
                JOIN group_faces gf ON gf.face_id = f.id JOIN groups g ON g.id = gf.group_id
                WHERE s.session_id = :session_id AND g.person_id IS NOT NULL"""),
            {"session_id": session_id},
        )
    ).scalar_one()
    return count
