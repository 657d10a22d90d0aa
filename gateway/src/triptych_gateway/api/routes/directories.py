"""Directories under the media roots: listed, scanned, previewed, ignored."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from triptych_common.media.locations import display_path
from triptych_gateway.api import directory_browsing, schemas
from triptych_gateway.api.answers import PICTURE
from triptych_gateway.api.context import Context
from triptych_gateway.api.errors import ApiError, errors
from triptych_gateway.api.parameters import OptionalQueryPath, QueryPath
from triptych_gateway.api.paths import allowed_directory, allowed_photo, named_path
from triptych_gateway.api.routes.images import jpeg_response
from triptych_gateway.api.translation.directories import directory_body, ignored_body, preview_body
from triptych_gateway.catalog.library import directories
from triptych_gateway.pipeline.discovery.listing import normalised_extension

# Files are read in FastAPI's threads: those of the event loop's own pool belong to the pipeline.

router = APIRouter(prefix="/api/v1/training/directories", tags=["directories"])

THUMBNAIL_PIXELS: Final = 400
_UNREADABLE: Final = errors(
    "path_not_allowed", "directory_not_found", "directory_not_readable", "not_a_directory", "service_away"
)


@router.get("", responses=_UNREADABLE)
async def list_directories(
    context: Context,
    path: OptionalQueryPath = None,
    include_training_status: Annotated[
        bool, Query(description="Taken for those who send it: what of them is trained is told in any case.")
    ] = False,
    include_ignored: Annotated[bool, Query(description="Whether to list directories that no session walks.")] = False,
) -> list[schemas.Directory]:
    """The directories in a directory, by name; the media roots themselves where none is named."""
    async with context.engine.connect() as connection:
        ignored = await directories.ignored_directories(connection)
    listed = await run_in_threadpool(
        directory_browsing.list_subdirectories, path, context.roots, ignored=ignored, include_ignored=include_ignored
    )
    async with context.engine.connect() as connection:
        trained = await directories.trained(connection, [directory.path for directory in listed])
    return [directory_body(*pair) for pair in zip(listed, trained, strict=True)]


@router.post("/scan", responses=_UNREADABLE)
async def scan_directory(body: schemas.DirectoryScan, context: Context) -> schemas.DirectoryScanResult:
    """Look through a directory as a session would, and name the directories that hold photos themselves."""
    async with context.engine.connect() as connection:
        ignored = await directories.ignored_directories(connection)
    scan = await run_in_threadpool(
        directory_browsing.scan,
        body.root_path,
        context.roots,
        recursive=body.recursive,
        extensions=frozenset(map(normalised_extension, body.extensions or ())),
        ignored=ignored,
    )
    async with context.engine.connect() as connection:
        paths = [directory.path for directory in scan.subdirectories]
        trained = await directories.trained(connection, paths, with_below=False)
    return schemas.DirectoryScanResult(
        root_path=display_path(scan.root),
        subdirectories=[directory_body(*pair) for pair in zip(scan.subdirectories, trained, strict=True)],
        total_subdirectories=scan.total_subdirectories,
        total_images=scan.total_photos,
        is_complete=scan.is_complete,
    )


@router.get("/preview", responses=_UNREADABLE)
async def preview_directory(path: QueryPath, context: Context) -> schemas.DirectoryPreview:
    """The photos of a directory itself: how many there are, and the first of them by name."""
    return preview_body(await run_in_threadpool(directory_browsing.preview, path, context.roots))


@router.get(
    "/preview/thumbnail",
    response_class=Response,
    responses=PICTURE | errors("path_not_allowed", "photo_not_found", "image_unreadable", "service_away"),
)
async def get_preview_thumbnail(path: QueryPath, request: Request, context: Context) -> Response:
    """A photo under the media roots that need not be known yet, upright, at most 400 pixels long."""
    photo = await run_in_threadpool(allowed_photo, path, context.roots)
    return await jpeg_response(request, context.pictures.thumbnail(photo, size_pixels=THUMBNAIL_PIXELS))


@router.post("/ignore", responses=_UNREADABLE | errors("already_ignored"))
async def ignore_directory(body: schemas.DirectoryIgnore, context: Context) -> schemas.DirectoryIgnored:
    """Leave a directory and all below it out of every session from now on."""
    path = await run_in_threadpool(allowed_directory, body.path, context.roots)
    async with context.engine.begin() as connection:
        try:
            moment = await directories.ignore_directory(connection, path, reason=body.reason)
        except directories.AlreadyIgnoredError as error:
            raise ApiError("already_ignored", f"The directory {display_path(path)} is ignored already.") from error
    return schemas.DirectoryIgnored(status="ignored", path=display_path(path), ignored_at=moment)


@router.delete("/ignore", responses=errors("path_not_allowed", "not_found"))
async def heed_directory(
    context: Context, body: schemas.DirectoryIgnore | None = None, path: OptionalQueryPath = None
) -> schemas.DirectoryIgnored:
    """Let sessions walk an ignored directory again, whether it is still there or not.

    It is named in the body, or in the query by those who cannot send one along with this method.
    """
    named = body.path if body is not None else path
    if named is None:
        raise ApiError("invalid_request", "path: name the directory in the body, or in the query.")
    directory = await run_in_threadpool(named_path, named, context.roots)
    async with context.engine.begin() as connection:
        moment = await directories.heed_directory(connection, directory)
    return schemas.DirectoryIgnored(status="restored", path=display_path(directory), ignored_at=moment)


@router.get("/ignored")
async def list_ignored_directories(context: Context) -> schemas.IgnoredDirectories:
    """The directories that no session walks."""
    async with context.engine.connect() as connection:
        ignored = await directories.list_ignored(connection)
    return schemas.IgnoredDirectories(directories=[ignored_body(directory) for directory in ignored])
