"""Search for photos: by a text, by a photo of the library, or by a picture that is sent along."""

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.api import schemas
from triptych_gateway.api.active_model import active_model
from triptych_gateway.api.context import ApiContext, Context
from triptych_gateway.api.errors import ApiError, errors
from triptych_gateway.api.translation.images import asset_body
from triptych_gateway.api.uploads import read_form, read_picture
from triptych_gateway.catalog.people import faces, persons
from triptych_gateway.catalog.search import search, search_spaces
from triptych_gateway.catalog.sessions import sessions
from triptych_gateway.pipeline.query_embedding import NoTextTowerError, QueryVector, UnreadablePictureError

router = APIRouter(prefix="/api/v1", tags=["search"])

MOST_PICTURE_BYTES: Final = 32 * 2**20
"""What a service takes as a query."""
_BODIES: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": schemas.SearchRequest.model_json_schema(),
            "example": {"text": "a red boat on the beach", "limit": 20},
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {"type": "string", "format": "binary", "description": "The picture to search by."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
                    "personId": {"type": "integer", "minimum": 1},
                    "sessionId": {"type": "integer", "minimum": 1},
                },
            }
        },
    },
}


@router.post(
    "/search",
    openapi_extra={"requestBody": _BODIES},
    responses=errors("picture_unreadable", "not_found", "no_text_tower", "not_embedded", "service_away"),
)
async def search_photos(request: Request, context: Context) -> schemas.SearchResults:
    """The photos that are most like a text, a photo of the library, or a picture that is sent along.

    All of one model: the one that runs now, or, while the embedder is away, the one that trained last.
    """
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        query, options = await _picture(request, context)
        async with context.engine.connect() as connection:
            return await _find(connection, query, options)
    body = await _json(request)
    if body.asset_id is None:
        query = await _text(context, body.text or "")
    async with context.engine.connect() as connection:
        if body.asset_id is not None:
            query = await _known_photo(context, connection, body.asset_id)
        return await _find(connection, query, body, except_for=body.asset_id)


async def _json(request: Request) -> schemas.SearchRequest:
    try:
        return schemas.SearchRequest.model_validate_json(await request.body())
    except ValidationError as error:
        problems = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(problems) from error


async def _picture(request: Request, context: ApiContext) -> tuple[QueryVector, schemas.SearchOptions]:
    most_bytes = min(MOST_PICTURE_BYTES, context.settings.max_image_bytes)
    form = await read_form(request, most_bytes=most_bytes)
    try:
        content = await read_picture(form, most_bytes=most_bytes)
        named = {name: value for name, value in form.items() if isinstance(value, str)}
        options = schemas.SearchOptions.model_validate(named)
    except ValidationError as error:
        problems = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(problems) from error
    finally:
        await form.close()
    try:
        return await context.queries.embed_picture(content), options
    except UnreadablePictureError as error:
        raise ApiError("picture_unreadable", str(error), details={"reason": error.code}) from error


async def _known_photo(context: ApiContext, connection: AsyncConnection, asset_id: int) -> QueryVector:
    model_id = await active_model(context, connection)
    vector = await search.embedding_of(connection, asset_id, model_id=model_id or "")
    if vector is None or model_id is None:
        others = [other for other in await search.models_of(connection, asset_id) if other != model_id]
        raise ApiError(
            "not_embedded",
            "The photo has no embedding of the model that is searched; train on it first.",
            details={"model": model_id, "otherModels": others},
        )
    return QueryVector(model_id=model_id, vector=vector)


async def _text(context: ApiContext, text: str) -> QueryVector:
    try:
        return await context.queries.embed_text(text)
    except NoTextTowerError as error:
        raise ApiError(
            "no_text_tower", "The model that runs cannot read text; search by a photo, or use a CLIP model."
        ) from error


async def _find(
    connection: AsyncConnection,
    query: QueryVector,
    options: schemas.SearchOptions,
    *,
    except_for: int | None = None,
) -> schemas.SearchResults:
    only = search.Filter(person_id=options.person_id, session_id=options.session_id, except_for=except_for)
    if only.person_id is not None:
        await persons.get_person(connection, only.person_id)
    if only.session_id is not None:
        await sessions.get_session(connection, only.session_id)
    found = await search.nearest(connection, query.vector, model_id=query.model_id, limit=options.limit, only=only)
    faces_of = await faces.list_asset_faces(connection, [match.asset.id for match in found])
    spaces = await search_spaces.list_spaces(connection)
    return schemas.SearchResults(
        model=query.model_id,
        items=[
            schemas.SearchResult(asset=asset_body(match.asset, faces_of.get(match.asset.id, [])), score=match.score)
            for match in found
        ],
        other_models=[
            schemas.OtherModel(model=space.model_id, photos=space.photo_count)
            for space in spaces
            if space.model_id != query.model_id
        ],
    )
