"""Photos that are like another one, or like a text: the nearest embeddings of one model."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.photos import Asset, asset_from_row, get_asset
from triptych_gateway.catalog.schema import LIVE_GENERATION

_SHOWN: Final = f"""
    embeddings e JOIN assets a ON a.id = e.asset_id AND a.version = e.asset_version AND a.missing_at IS NULL
    WHERE e.model_id = :model_id AND e.generation = {LIVE_GENERATION}"""
_OF_THE_PERSON: Final = """
    AND EXISTS (SELECT 1 FROM face_places p WHERE p.asset_id = a.id AND p.person_id = :person_id AND p.shown)"""


@dataclass(frozen=True, kw_only=True)
class Match:
    """A photo that was found."""

    asset: Asset
    score: float
    """Cosine similarity, -1..1; 1 is the same."""


async def embedding_of(connection: AsyncConnection, asset_id: int, *, model_id: str) -> NDArray[np.float32] | None:
    """A photo's vector [d] by that model; None where it has none. Raises NotFoundError for an unknown photo."""
    await get_asset(connection, asset_id)
    vector: Any = (
        await connection.execute(
            text(f"SELECT e.embedding FROM {_SHOWN} AND a.id = :asset_id"),  # noqa: S608 - constants
            {"model_id": model_id, "asset_id": asset_id},
        )
    ).scalar()
    return None if vector is None else vector.to_numpy()


async def nearest(
    connection: AsyncConnection,
    vector: NDArray[np.float32],
    *,
    model_id: str,
    limit: int,
    person_id: int | None = None,
    except_for: int | None = None,
) -> list[Match]:
    """The photos whose vectors of that model are nearest by cosine, the most alike first.

    With a person, only photos with a face of theirs; ``except_for`` is a photo to leave out.
    """
    of_the_person = _OF_THE_PERSON if person_id is not None else ""
    parameters: dict[str, object] = {
        "model_id": model_id,
        "vector": vector,
        "limit": limit,
        "except_for": except_for or 0,
    }
    if person_id is not None:
        parameters["person_id"] = person_id
    rows = await connection.execute(
        text(f"""
            SELECT a.*, 1 - (e.embedding <=> CAST(:vector AS vector)) AS score
            FROM {_SHOWN} AND a.id <> :except_for {of_the_person}
            ORDER BY e.embedding <=> CAST(:vector AS vector), a.id LIMIT :limit"""),  # noqa: S608 - constants
        parameters,
    )
    return [Match(asset=asset_from_row(row), score=row.score) for row in rows]


async def last_model(connection: AsyncConnection) -> str | None:
    """The model that trained last: the space that is searched while the embedder is away. None before the first."""
    found: str | None = (
        await connection.execute(
            text("""
                SELECT model ->> 'id' FROM runs WHERE phase = 'training' AND model IS NOT NULL
                ORDER BY started_at DESC NULLS LAST LIMIT 1""")
        )
    ).scalar()
    return found
