"""Bodies of directories."""

from typing import Literal

from pydantic import Field

from triptych_gateway.api.schemas.base import MAX_ID, Body, DirectoryPath, Line, Time
from triptych_gateway.api.schemas.words import SubdirectoryStatus, TrainingStatus


class Directory(Body):
    """A directory that may be trained on."""

    path: str
    name: str
    image_count: int = Field(
        ge=0,
        description="Photos in it and below it, as the file system has them; of a scan, those in it only.",
    )
    image_count_is_complete: bool = Field(description="False where there were too many to count them all in time.")
    selected: bool = Field(description="Whether any session was given this very directory to walk.")
    ignored: bool = Field(description="Whether it is, or lies below, a directory that no session walks.")
    trained_count: int = Field(ge=0, description="How many of them are embedded.")
    last_trained_at: Time | None
    training_status: TrainingStatus


class DirectoryScan(Body):
    """A directory to look through, as a session would."""

    root_path: DirectoryPath
    recursive: bool = Field(
        default=True, description="All directories below it; or only those in it, with their own photos."
    )
    extensions: list[Line] | None = Field(
        default=None,
        max_length=64,
        description="Extensions to count, such as .jpg; all that are read where it is null.",
        examples=[[".jpg", ".heic", ".dng"]],
    )


class DirectoryScanResult(Body):
    """What a session over a directory would find."""

    root_path: str
    subdirectories: list[Directory] = Field(description="Those that hold photos, by path; at most 10,000.")
    total_subdirectories: int = Field(ge=0, description="Of all of them.")
    total_images: int = Field(ge=0, description="Photos that the session would find.")
    is_complete: bool = Field(description="False where there was too much to look through in time.")


class PreviewImage(Body):
    """A photo of a preview."""

    filename: str
    full_path: str
    size_bytes: int = Field(ge=0)
    modified_at: Time | None


class DirectoryPreview(Body):
    """The photos of a directory itself, without those below it."""

    directory: str
    image_count: int = Field(ge=0, description="Of all of them.")
    images: list[PreviewImage] = Field(description="The first 100, by name.")


class DirectoryIgnore(Body):
    """A directory that no session is to walk, or is to walk again."""

    path: DirectoryPath
    reason: Line | None = Field(default=None, max_length=1000)


class DirectoryIgnored(Body):
    """What became of it."""

    status: Literal["ignored", "restored"]
    path: str
    ignored_at: Time = Field(description="Since when it is ignored, or was until now.")


class IgnoredDirectory(Body):
    """A directory that no session walks."""

    path: str
    reason: str | None
    ignored_at: Time
    ignored_by: str | None


class IgnoredDirectories(Body):
    """The directories that no session walks, by path."""

    directories: list[IgnoredDirectory]


class Subdirectory(Body):
    """A directory of a session."""

    id: int
    session_id: int
    path: str
    name: str
    selected: bool
    image_count: int | None = Field(ge=0, description="Photos in it and below it; null until they were looked for.")
    trained_count: int | None = Field(ge=0, description="Those of them that are embedded.")
    status: SubdirectoryStatus
    created_at: Time


class SubdirectoryChoice(Body):
    """Whether a session walks one of its directories."""

    id: int = Field(ge=1, le=MAX_ID)
    selected: bool
