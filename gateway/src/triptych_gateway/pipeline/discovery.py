"""Walking directories for photos: nothing is decoded, nothing unreadable is fatal."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from triptych_common.media.decoding import PHOTO_EXTENSIONS
from triptych_common.media.failures import failure_from_os_error
from triptych_common.media.locations import MediaRoots
from triptych_gateway.catalog.photos import FoundPhoto, Problem

IGNORED_DIRECTORIES: Final = frozenset({b"@eaDir", b"#recycle", b"$RECYCLE.BIN", b"lost+found"})
"""Directories that hold no photos of anybody's; hidden ones (``.Trash`` …) are left out as well."""


@dataclass(frozen=True, kw_only=True)
class DiscoveryOptions:
    """Where and how to look."""

    directories: tuple[bytes, ...]
    """Absolute paths to begin at."""
    recursive: bool = True
    extensions: frozenset[str] = PHOTO_EXTENSIONS
    """Extensions in lower case, with their dot."""


@dataclass
class _Walk:
    roots: MediaRoots
    options: DiscoveryOptions
    seen: set[tuple[int, int]] = field(default_factory=set)
    """(device, inode) of the directories on the way and done: none is walked twice."""


def discover(options: DiscoveryOptions, roots: MediaRoots) -> Iterator[FoundPhoto | Problem]:
    """Every photo under the directories, and every folder that cannot be read.

    Symbolic links are followed as long as they stay under the media roots; a directory is walked once, however many
    links lead to it. A photo that cannot even be looked at is yielded all the same: reading it will name the reason.
    """
    walk = _Walk(roots, options)
    waiting = [os.path.normpath(directory) for directory in reversed(options.directories)]
    while waiting:
        directory = waiting.pop()
        if roots.resolve(directory) is None:
            yield Problem(
                path=directory, code="path_not_allowed", message="The directory lies outside the media roots."
            )
            continue
        try:
            status = os.stat(directory)  # noqa: PTH116 - paths are bytes here
            if (status.st_dev, status.st_ino) in walk.seen:
                if os.path.islink(directory):  # noqa: PTH114 - paths are bytes here
                    yield Problem(path=directory, code="symlink_loop", message="The directory was walked already.")
                continue
            walk.seen.add((status.st_dev, status.st_ino))
            with os.scandir(directory) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield _problem(directory, error)
            continue
        subdirectories = []
        for entry in found:
            if entry.name.startswith(b"."):
                continue
            kind = _kind(entry)
            if kind == "directory":
                if options.recursive and entry.name not in IGNORED_DIRECTORIES:
                    subdirectories.append(entry)
            elif kind != "other" and _is_photo(entry.name, options.extensions):
                yield _photo(entry)
        waiting += [entry.path for entry in reversed(subdirectories)]


def _kind(entry: os.DirEntry[bytes]) -> str:
    try:
        mode = entry.stat().st_mode
    except OSError:
        return "unreadable"
    if stat.S_ISDIR(mode):
        return "directory"
    return "file" if stat.S_ISREG(mode) else "other"


def _is_photo(name: bytes, extensions: frozenset[str]) -> bool:
    extension = os.path.splitext(name)[1].lower()  # noqa: PTH122 - names are bytes here
    return extension.decode("ascii", errors="replace") in extensions


def _photo(entry: os.DirEntry[bytes]) -> FoundPhoto:
    try:
        status = entry.stat()
    except OSError:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return FoundPhoto(path=entry.path, size_bytes=0, modified_ns=0)
    return FoundPhoto(path=entry.path, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)


def _problem(directory: bytes, error: OSError) -> Problem:
    if error.errno == errno.ENOTDIR:
        return Problem(path=directory, code="not_a_directory", message="This is not a directory.")
    failure = failure_from_os_error(error)
    return Problem(path=directory, code=failure.code, message=failure.message.replace("The file", "The directory"))
