"""What walking directories gives, and which of what they hold counts: by name, whatever store they lie in."""

import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from triptych_common.media.failures import failure_from_os_error
from triptych_common.media.formats import PHOTO_EXTENSIONS
from triptych_common.media.object_names import is_object_path
from triptych_common.media.stores import FileStatus
from triptych_gateway.catalog.library.photos import MAX_PATH_BYTES, Problem

SYSTEM_DIRECTORIES: Final = frozenset(
    {b"@eadir", b"#recycle", b"@recycle", b"#snapshot", b"$recycle.bin", b"lost+found", b"system volume information"}
)
"""Directories that hold no photos of anybody's, in lower case; hidden ones (``.Trash`` …) are left out as well."""


@dataclass(frozen=True, kw_only=True)
class TreeOptions:
    """Where and how to look."""

    directories: tuple[bytes, ...]
    """Paths to begin at."""
    recursive: bool = True
    extensions: frozenset[str] = PHOTO_EXTENSIONS
    """Extensions, as `normalised_extension` gives them."""
    ignored: frozenset[bytes] = frozenset()
    """Paths of directories that are left out, as `ignored_paths` gives them."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a directory holds, or a part of it."""

    path: bytes
    subdirectories: tuple[bytes, ...] = ()
    """Names, in order."""
    links: tuple[bytes, ...] = ()
    """Names of symbolic links to directories, in order."""
    photos: tuple[bytes, ...] = ()
    """Names of files that count as photos, in order."""
    statuses: tuple[FileStatus, ...] = ()
    """Of each of these, where listing told them; else none."""
    is_whole: bool = True
    """Whether, with this, all was named: what was not is not there, in a bucket nor below it."""


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """The store of a directory does not answer. Whoever goes on asks it again, for what was not told yet."""

    path: bytes
    message: str


def normalised_extension(named: str) -> str:
    """An extension in lower case with its dot, however a client wrote it."""
    return "." + named.strip().lower().removeprefix(".")


def normalised_path(path: bytes) -> bytes:
    """The path of a directory as walks spell it."""
    return path.rstrip(b"/") if is_object_path(path) else os.path.normpath(path)


def ignored_paths(directories: Iterable[bytes]) -> frozenset[bytes]:
    """Ignored directories by every name by which a walk may come upon them."""
    return frozenset(
        name
        for one in directories
        for name in ((one,) if is_object_path(one) else (os.path.normpath(one), os.path.realpath(one)))
    )


def is_photo(name: bytes, extensions: frozenset[str] = PHOTO_EXTENSIONS) -> bool:
    """Whether a file counts as a photo, by its name."""
    extension = os.path.splitext(name)[1]  # noqa: PTH122 - names are bytes here
    return extension.decode("utf-8", errors="replace").lower() in extensions


def is_hidden(name: bytes) -> bool:
    """Whether a name says that it is nobody's photo."""
    return name.startswith(b".")


def is_walked(name: bytes) -> bool:
    """Whether a directory is walked, by its name."""
    return not is_hidden(name) and name.lower() not in SYSTEM_DIRECTORIES


def is_below(path: bytes, directories: frozenset[bytes]) -> bool:
    """Whether a path is one of the directories or lies below one."""
    return bool(directories) and any(one in directories for one in (path, *parents_of(path)))


def parents_of(path: bytes) -> Iterator[bytes]:
    """The directories above a path, from the nearest to the root."""
    while (parent := os.path.dirname(path)) != path:  # noqa: PTH120 - paths are bytes here
        yield parent
        path = parent


def join(directory: bytes, name: bytes) -> bytes:
    """The path of what a directory holds under a name."""
    return os.path.join(directory, name)  # noqa: PTH118 - paths are bytes here


def not_allowed(directory: bytes) -> Problem:
    """A directory that no media root holds."""
    return Problem(path=directory, code="path_not_allowed", message="The directory lies outside the media roots.")


def left_out(directory: bytes) -> Problem:
    """A chosen directory that is ignored."""
    return Problem(path=directory, code="directory_ignored", message="The directory is one of those that are ignored.")


def too_long(path: bytes) -> Problem:
    """A photo whose path cannot be recorded."""
    return Problem(
        path=path, code="path_too_long", message=f"The path has {len(path):,} bytes; the limit is {MAX_PATH_BYTES:,}."
    )


def unreadable(directory: bytes, error: OSError) -> Problem:
    """Why a directory cannot be read."""
    if error.errno == errno.ENOTDIR:
        return Problem(path=directory, code="not_a_directory", message="This is not a directory.")
    if error.errno == errno.ENAMETOOLONG:
        return Problem(path=directory, code="path_too_long", message="The path is longer than the system takes.")
    failure = failure_from_os_error(error)
    return Problem(path=directory, code=failure.code, message=failure.message.replace("The file", "The directory"))
