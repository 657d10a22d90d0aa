"""Photos with vectors to be searched for, in a catalogue."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.search import search
from triptych_gateway.catalog.search.search import Filter

MODEL: Final = "clip/1"
DIMENSION: Final = 8


async def add(connection: AsyncConnection, vectors: NDArray[np.float32], *, model: str = MODEL) -> list[int]:
    """Photos with these vectors; returns their ids."""
    async with connection.begin():
        first = (await connection.execute(text("SELECT coalesce(max(id), 0) FROM assets"))).scalar_one()
        ids = []
        for number, vector in enumerate(vectors):
            path = f"/{first}-{number}".encode()
            asset_id = (
                await connection.execute(
                    text("INSERT INTO assets (path, size_bytes, modified_ns) VALUES (:path, 1, 1) RETURNING id"),
                    {"path": path},
                )
            ).scalar_one()
            await put(connection, asset_id, vector, model=model)
            ids.append(asset_id)
    return ids


async def put(
    connection: AsyncConnection, asset_id: int, vector: Any, *, model: str = MODEL, generation: int = 1
) -> None:
    await connection.execute(
        text("""
            INSERT INTO embeddings (asset_id, model_id, generation, asset_version, embedding)
            VALUES (:id, :model, :generation, 1, :vector)
            ON CONFLICT (asset_id, model_id, generation) DO UPDATE SET embedding = excluded.embedding"""),
        {"id": asset_id, "model": model, "generation": generation, "vector": np.asarray(vector, np.float32)},
    )


def vectors_of(count: int, *, seed: int = 0, dimension: int = DIMENSION) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


async def found(connection: AsyncConnection, vector: Any, *, limit: int = 10, only: Filter | None = None) -> list[int]:
    """Ids of what is found, the most alike first."""
    async with connection.begin():
        matches = await search.nearest(
            connection, np.asarray(vector, np.float32), model_id=MODEL, limit=limit, only=only or Filter()
        )
    return [match.asset.id for match in matches]
