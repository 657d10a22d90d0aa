"""What searches use: how it stands, and having it built anew."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.api import schemas
from triptych_gateway.api.active_model import active_model
from triptych_gateway.api.context import ApiContext, Context
from triptych_gateway.api.errors import errors
from triptych_gateway.api.translation.search import space_body
from triptych_gateway.catalog.search import search_spaces

router = APIRouter(prefix="/api/v1/search/index", tags=["search"])


@router.get("")
async def get_search_index(context: Context) -> schemas.SearchIndex:
    """The embeddings of each model, as they are searched, and how far they are indexed."""
    async with context.engine.connect() as connection:
        return await _index(context, connection)


@router.post("/rebuild", status_code=202, responses=errors("not_found"))
async def rebuild_search_index(
    context: Context,
    model: Annotated[
        schemas.Line | None, Query(max_length=500, description="Only of this model; else of all models.")
    ] = None,
) -> schemas.SearchIndex:
    """Have what is searched built anew, beside what is in use until then.

    Asked again before it is built, nothing changes.
    """
    async with context.engine.begin() as connection:
        await search_spaces.ask_for_rebuild(connection, model)
        return await _index(context, connection)


async def _index(context: ApiContext, connection: AsyncConnection) -> schemas.SearchIndex:
    active = await active_model(context, connection)
    states = [await search_spaces.look_at(connection, space) for space in await search_spaces.list_spaces(connection)]
    return schemas.SearchIndex(spaces=[space_body(state, active_model=active) for state in states])
