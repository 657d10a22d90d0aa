"""Whose embeddings are searched."""

from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.api.context import ApiContext
from triptych_gateway.catalog.search import search


async def active_model(context: ApiContext, connection: AsyncConnection) -> str | None:
    """The model whose embeddings are searched: the one that runs, else the one that trained last."""
    embedder = context.health.services["embedder"]
    if embedder.status == "ok" and embedder.model is not None:
        return embedder.model
    return await search.last_model(connection)
