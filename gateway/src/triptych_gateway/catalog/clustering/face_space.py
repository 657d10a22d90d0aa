"""The face space: all faces of the library that one model embedded, of present versions of photos that are there."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.schema import LIVE_GENERATION

FACES_PER_BATCH: Final = 1000
"""Two megabytes of vectors: its receiver works on one such message while the next is on its way."""

_FACES: Final = """
    faces f JOIN face_scans c
        ON c.asset_id = f.asset_id AND c.model_id = f.model_id AND c.generation = f.generation
    JOIN assets a ON a.id = f.asset_id AND a.version = c.asset_version AND a.missing_at IS NULL"""
_OF_GENERATION: Final = "f.model_id = :model_id AND f.generation = :generation"
_NOT_REPLACED: Final = """
    NOT EXISTS (SELECT 1 FROM face_scans n WHERE n.asset_id = f.asset_id AND n.model_id = f.model_id
        AND n.generation = :next AND n.asset_version = a.version)"""


@dataclass(frozen=True, kw_only=True)
class FaceVectors:
    """Some faces of a space; all arrays have the same length n."""

    face_ids: NDArray[np.int64]
    photo_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    sizes: NDArray[np.float32]
    """Shorter side of each face's box, in pixels of the upright photo; 0 where the photo's size is not known."""
    vectors: NDArray[np.float32]
    """[n, d]."""


def _parts(model_id: str, generation: int) -> list[tuple[str, dict[str, object]]]:
    """Conditions and their parameters that together choose the faces of a space, each face once."""
    live: dict[str, object] = {"model_id": model_id, "generation": LIVE_GENERATION}
    if generation == LIVE_GENERATION:
        return [(_OF_GENERATION, live)]
    return [
        (f"{_OF_GENERATION} AND {_NOT_REPLACED}", {**live, "next": generation}),
        (_OF_GENERATION, {"model_id": model_id, "generation": generation}),
    ]


async def count_space(connection: AsyncConnection, *, model_id: str, generation: int = LIVE_GENERATION) -> int:
    """Faces of the library's space of a model, as `read_space` gives them."""
    count = 0
    for condition, parameters in _parts(model_id, generation):
        counted = await connection.execute(text(f"SELECT count(*) FROM {_FACES} WHERE {condition}"), parameters)  # noqa: S608
        count += counted.scalar_one()
    return count


async def count_kept(
    connection: AsyncConnection, *, graph_id: int, model_id: str, generation: int = LIVE_GENERATION
) -> int:
    """Those of them that are in the graph that a clustering kept."""
    count = 0
    for condition, parameters in _parts(model_id, generation):
        counted = await connection.execute(
            text(f"""
                SELECT count(*) FROM {_FACES} JOIN kept_faces k ON k.face_id = f.id
                WHERE k.graph_id = :graph_id AND {condition}"""),  # noqa: S608 - constants
            {"graph_id": graph_id, **parameters},
        )
        count += counted.scalar_one()
    return count


async def read_space(
    connection: AsyncConnection, *, model_id: str, generation: int = LIVE_GENERATION, batch: int = FACES_PER_BATCH
) -> AsyncIterator[FaceVectors]:
    """All faces of the library's space of a model, in batches: those that are shown by id, then those that will be.

    A photo that a restart has searched under ``generation`` counts with what was found then.
    """
    for condition, parameters in _parts(model_id, generation):
        result = await connection.stream(
            text(f"""
                SELECT f.id, f.asset_id, f.score, f.embedding,
                    coalesce(least(f.width * a.width, f.height * a.height), 0) AS size
                FROM {_FACES} WHERE {condition} ORDER BY f.id"""),  # noqa: S608 - constants
            parameters,
        )
        async for rows in result.partitions(batch):
            yield FaceVectors(
                face_ids=np.array([row.id for row in rows], np.int64),
                photo_ids=np.array([row.asset_id for row in rows], np.int64),
                scores=np.array([row.score for row in rows], np.float32),
                sizes=np.array([row.size for row in rows], np.float32),
                vectors=np.stack([row.embedding.to_numpy() for row in rows]).astype(np.float32),
            )


async def count_session_faces(
    connection: AsyncConnection, session_id: int, *, model_id: str, generation: int = LIVE_GENERATION
) -> int:
    """Faces of a model in a session's photos."""
    count = 0
    for condition, parameters in _parts(model_id, generation):
        counted = await connection.execute(
            text(f"""
                SELECT count(*) FROM {_FACES} JOIN session_assets s ON s.asset_id = f.asset_id
                WHERE s.session_id = :session_id AND {condition}"""),  # noqa: S608
            {"session_id": session_id, **parameters},
        )
        count += counted.scalar_one()
    return count
