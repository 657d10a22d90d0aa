"""Directories as bodies."""

import posixpath
from datetime import UTC, datetime

from triptych_common.media.locations import display_path
from triptych_gateway.api import schemas
from triptych_gateway.api.directory_browsing import CountedDirectory, Preview
from triptych_gateway.catalog.library import directories
from triptych_gateway.catalog.library.directories import Trained
from triptych_gateway.catalog.library.photos import FoundPhoto


def directory_body(directory: CountedDirectory, trained: Trained) -> schemas.Directory:
    """A directory, with what of it is trained."""
    return schemas.Directory(
        path=display_path(directory.path),
        name=_name(directory.path),
        image_count=directory.photos,
        image_count_is_complete=directory.is_complete,
        selected=trained.is_selected,
        ignored=directory.is_ignored,
        trained_count=trained.trained_count,
        last_trained_at=trained.last_trained_at,
        training_status=training_status(directory, trained),
    )


def training_status(directory: CountedDirectory, trained: Trained) -> schemas.TrainingStatus:
    """How far a directory is, by the files that it holds now or, where they were too many, by those that are known."""
    photos = directory.photos if directory.is_complete else max(directory.photos, trained.photo_count)
    if 0 < trained.trained_count >= photos:
        return "complete"
    if trained.is_under_way:
        return "in_progress"
    return "partial" if trained.trained_count > 0 else "never"


def preview_body(preview: Preview) -> schemas.DirectoryPreview:
    """A preview."""
    return schemas.DirectoryPreview(
        directory=display_path(preview.directory),
        image_count=preview.total,
        images=[_image_body(photo) for photo in preview.photos],
    )


def _image_body(photo: FoundPhoto) -> schemas.PreviewImage:
    return schemas.PreviewImage(
        filename=_name(photo.path),
        full_path=display_path(photo.path),
        size_bytes=photo.size_bytes,
        modified_at=_moment(photo.modified_ns) if photo.is_readable else None,
    )


def _moment(nanoseconds: int) -> datetime | None:
    """A file's time; None for one that no calendar of ours holds."""
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def ignored_body(directory: directories.IgnoredDirectory) -> schemas.IgnoredDirectory:
    """A directory that no session walks."""
    return schemas.IgnoredDirectory(
        path=display_path(directory.path),
        reason=directory.reason,
        ignored_at=directory.ignored_at,
        ignored_by=directory.ignored_by,
    )


def subdirectory_body(directory: directories.Subdirectory) -> schemas.Subdirectory:
    """A directory of a session."""
    return schemas.Subdirectory(
        id=directory.id,
        session_id=directory.session_id,
        path=display_path(directory.path),
        name=_name(directory.path),
        selected=directory.selected,
        image_count=directory.photo_count if directory.is_discovered else None,
        trained_count=directory.trained_count if directory.is_discovered else None,
        status=_subdirectory_status(directory),
        created_at=directory.created_at,
    )


def _subdirectory_status(directory: directories.Subdirectory) -> schemas.SubdirectoryStatus:
    if not directory.selected or directory.session_status == "pending":
        return "pending"
    is_whole = directory.is_discovered and directory.trained_count >= directory.photo_count
    if directory.session_status == "completed" or is_whole:
        return "trained"
    if directory.session_status == "failed":
        return "failed"
    return "training" if directory.session_status == "running" else "pending"


def _name(path: bytes) -> str:
    return display_path(posixpath.basename(path) or path)
