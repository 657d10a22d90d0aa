"""Photos and their pictures."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from triptych_common.media.failures import ImageFailure
from triptych_gateway.api import schemas
from triptych_gateway.api.answers import FULL_PICTURE, PICTURE
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import ApiError, errors
from triptych_gateway.api.parameters import Id
from triptych_gateway.api.pictures import Original
from triptych_gateway.api.translation.images import asset_body
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.people import faces

router = APIRouter(prefix="/api/v1/images", tags=["images"])

MAX_THUMBNAIL_PIXELS = 1600
_UNREADABLE: Final = errors("image_unreadable", "service_away")
_CHUNK_BYTES: Final = 256 * 1024
_HEADERS: Final = {"Cache-Control": "private, max-age=3600"}


@router.get("/{asset_id}")
async def get_image(asset_id: Id, context: Context) -> schemas.Asset:
    """A photo and the faces in it."""
    async with context.engine.connect() as connection:
        asset = await photos.get_asset(connection, asset_id)
        found = await faces.list_asset_faces(connection, [asset_id])
    return asset_body(asset, found.get(asset_id, []))


@router.get(
    "/{asset_id}/thumbnail", response_class=Response, responses=PICTURE | errors("image_unreadable", "service_away")
)
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


@router.get(
    "/{asset_id}/full", response_class=Response, responses=FULL_PICTURE | errors("image_unreadable", "service_away")
)
async def get_full_picture(asset_id: Id, request: Request, context: Context) -> Response:
    """A photo at full size: its own file where browsers show it, else as an upright JPEG."""
    async with context.engine.connect() as connection:
        asset = await photos.get_asset(connection, asset_id)
    try:
        picture = await context.pictures.full(asset)
    except ImageFailure as failure:
        raise _unreadable(failure) from failure
    if not isinstance(picture, Original):
        return _picture_response(request, *picture)
    headers = {**_HEADERS, "ETag": picture.etag}
    if _has(request, picture.etag):
        await asyncio.to_thread(picture.file.content.close)
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(picture.file.size_bytes)
    return StreamingResponse(_chunks(picture), media_type=picture.media_type, headers=headers)


async def _chunks(picture: Original) -> AsyncIterator[bytes]:
    """The file's bytes, as many as were promised at most."""
    left = picture.file.size_bytes - len(picture.head)
    with picture.file as file:
        yield picture.head
        while left > 0 and (chunk := await asyncio.to_thread(file.content.read, min(_CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


async def jpeg_response(request: Request, making: Awaitable[tuple[bytes, str]]) -> Response:
    """A cacheable JPEG, or 304 for a reader that has it. Raises ApiError (image_unreadable)."""
    try:
        content, etag = await making
    except ImageFailure as failure:
        raise _unreadable(failure) from failure
    return _picture_response(request, content, etag)


def _picture_response(request: Request, content: bytes, etag: str) -> Response:
    headers = {**_HEADERS, "ETag": etag}
    if _has(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="image/jpeg", headers=headers)


def _has(request: Request, etag: str) -> bool:
    """Whether the reader has it: RFC 9110, 13.1.2, by weak comparison."""
    named = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return etag in named or "*" in named


def _unreadable(failure: ImageFailure) -> ApiError:
    return ApiError("image_unreadable", failure.message, details={"reason": failure.code})
