"""What directories hold, by name: no file is looked at, nothing unreadable is fatal."""

import errno
import os
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from triptych_common.media.failures import failure_from_os_error
from triptych_common.media.formats import PHOTO_EXTENSIONS
from triptych_common.media.locations import MediaRoots
from triptych_gateway.catalog.library.photos import Problem

SYSTEM_DIRECTORIES: Final = frozenset(
    {b"@eadir", b"#recycle", b"@recycle", b"#snapshot", b"$recycle.bin", b"lost+found", b"system volume information"}
)
"""Directories that hold no photos of anybody's, in lower case; hidden ones (``.Trash`` …) are left out as well."""


@dataclass(frozen=True, kw_only=True)
class TreeOptions:
    """Where and how to look."""

    directories: tuple[bytes, ...]
    """Absolute paths to begin at."""
    recursive: bool = True
    extensions: frozenset[str] = PHOTO_EXTENSIONS
    """Extensions, as `normalised_extension` gives them."""
    ignored: frozenset[bytes] = frozenset()
    """Absolute paths of directories that are left out, as `ignored_paths` gives them."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a directory holds: whatever is not named here is not there."""

    path: bytes
    subdirectories: tuple[bytes, ...] = ()
    """Names, in order."""
    links: tuple[bytes, ...] = ()
    """Names of symbolic links to directories, in order."""
    photos: tuple[bytes, ...] = ()
    """Names of files that count as photos, in order."""


@dataclass(frozen=True, kw_only=True)
class PhotoCount:
    """How many photos there are."""

    photos: int
    is_complete: bool
    """False where time ran out: there may be more."""


def normalised_extension(named: str) -> str:
    """An extension in lower case with its dot, however a client wrote it."""
    return "." + named.strip().lower().removeprefix(".")


def ignored_paths(directories: Iterable[bytes]) -> frozenset[bytes]:
    """Ignored directories by every name by which a walk may come upon them."""
    return frozenset(name for one in directories for name in (os.path.normpath(one), os.path.realpath(one)))


def list_tree(options: TreeOptions, roots: MediaRoots) -> Iterator[Listing | Problem]:
    """Each directory once, in the order of paths, and each that cannot be read.

    Symbolic links are followed as long as they stay under the media roots. They wait until all else is done, so that a
    directory has its own path rather than that of a link; one that was listed already is listed as empty.
    """
    chosen = list(dict.fromkeys(os.path.normpath(directory) for directory in options.directories))
    links = deque(directory for directory in chosen if os.path.islink(directory))  # noqa: PTH114 - paths are bytes here
    waiting = [directory for directory in reversed(chosen) if directory not in links]
    seen: set[tuple[int, int]] = set()
    while waiting or links:
        directory = waiting.pop() if waiting else links.popleft()
        resolved = roots.resolve(directory)
        if resolved is None:
            yield _problem(directory, "path_not_allowed", "The directory lies outside the media roots.")
        elif is_below(directory, options.ignored) or is_below(resolved, options.ignored):
            if directory in chosen:
                yield _problem(directory, "directory_ignored", "The directory is one of those that are ignored.")
        else:
            try:
                status = os.stat(directory)  # noqa: PTH116 - paths are bytes here
                if (status.st_dev, status.st_ino) in seen:
                    if os.path.islink(directory):  # noqa: PTH114 - paths are bytes here
                        yield _problem(directory, "symlink_loop", "The directory was walked already.")
                    yield Listing(path=directory)
                    continue
                listing = list_directory(directory, options.extensions)
            except OSError as error:
                yield _unreadable(directory, error)
                continue
            seen.add((status.st_dev, status.st_ino))
            yield listing
            if options.recursive:
                waiting += [join(directory, name) for name in reversed(listing.subdirectories)]
                links += [join(directory, name) for name in listing.links]


def list_directory(directory: bytes, extensions: frozenset[str] = PHOTO_EXTENSIONS) -> Listing:
    """One directory, without what is hidden and what systems keep. Raises OSError.

    Only names are held, of 200,000 files or more, and no entry with what it caches.
    """
    subdirectories: list[bytes] = []
    links: list[bytes] = []
    photos: list[bytes] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(b"."):
                continue
            kind = _kind(entry)
            if kind == "directory":
                if entry.name.lower() not in SYSTEM_DIRECTORIES:
                    (links if entry.is_symlink() else subdirectories).append(entry.name)
            elif kind != "other" and is_photo(entry.name, extensions):
                photos.append(entry.name)
    return Listing(
        path=directory,
        subdirectories=tuple(sorted(subdirectories)),
        links=tuple(sorted(links)),
        photos=tuple(sorted(photos)),
    )


def _kind(entry: os.DirEntry[bytes]) -> str:
    try:
        if entry.is_dir():
            return "directory"
        if entry.is_file():
            return "file"
        # Neither, or a link that leads nowhere, which raises.
        return "file" if stat.S_ISREG(entry.stat().st_mode) else "other"
    except OSError:
        return "unreadable"


def is_photo(name: bytes, extensions: frozenset[str] = PHOTO_EXTENSIONS) -> bool:
    """Whether a file counts as a photo, by its name."""
    extension = os.path.splitext(name)[1]  # noqa: PTH122 - names are bytes here
    return extension.decode("utf-8", errors="replace").lower() in extensions


def count_photos(options: TreeOptions, roots: MediaRoots, *, seconds: float) -> PhotoCount:
    """How many photos there are under directories, for as far as one comes in so long."""
    deadline = time.monotonic() + seconds
    count = 0
    for listing in list_tree(options, roots):
        count += len(listing.photos) if isinstance(listing, Listing) else 0
        if time.monotonic() > deadline:
            return PhotoCount(photos=count, is_complete=False)
    return PhotoCount(photos=count, is_complete=True)


def is_below(path: bytes, directories: frozenset[bytes]) -> bool:
    """Whether a path is one of the directories or lies below one."""
    return bool(directories) and any(one in directories for one in (path, *parents_of(path)))


def parents_of(path: bytes) -> Iterator[bytes]:
    """The directories above an absolute path, from the nearest to the root."""
    while (parent := os.path.dirname(path)) != path:  # noqa: PTH120 - paths are bytes here
        yield parent
        path = parent


def join(directory: bytes, name: bytes) -> bytes:
    """The path of what a directory holds under a name."""
    return os.path.join(directory, name)  # noqa: PTH118 - paths are bytes here


def _problem(directory: bytes, code: str, message: str) -> Problem:
    return Problem(path=directory, code=code, message=message)


def _unreadable(directory: bytes, error: OSError) -> Problem:
    if error.errno == errno.ENOTDIR:
        return _problem(directory, "not_a_directory", "This is not a directory.")
    failure = failure_from_os_error(error)
    return _problem(directory, failure.code, failure.message.replace("The file", "The directory"))
