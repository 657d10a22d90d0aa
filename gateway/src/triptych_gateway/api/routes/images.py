"""Pictures of photos."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from triptych_common.media.failures import ImageFailure
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import ApiError
from triptych_gateway.api.parameters import Id
from triptych_gateway.catalog import photos

router = APIRouter(prefix="/api/v1/images", tags=["images"])

MAX_THUMBNAIL_PIXELS = 1600


@router.get("/{asset_id}/thumbnail", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def get_thumbnail(
    asset_id: Id,
    request: Request,
    context: Context,
    size: Annotated[int, Query(ge=16, le=MAX_THUMBNAIL_PIXELS, description="Longest side, in pixels.")] = 400,
) -> Response:
    """A photo, upright, no larger than asked."""
    async with context.engine.connect() as connection:
        asset = await photos.get_asset(connection, asset_id)
    return await jpeg_response(request, context.pictures.thumbnail(asset, size_pixels=size))


async def jpeg_response(request: Request, making: Awaitable[tuple[bytes, str]]) -> Response:
    """A cacheable JPEG, or 304 for a reader that has it. Raises ApiError (image_unreadable)."""
    try:
        content, etag = await making
    except ImageFailure as failure:
        raise ApiError("image_unreadable", failure.message, details={"reason": failure.code}) from failure
    headers = {"ETag": etag, "Cache-Control": "private, max-age=3600"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="image/jpeg", headers=headers)
