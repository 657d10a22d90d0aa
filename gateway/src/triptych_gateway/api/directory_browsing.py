"""Directories as the file system has them, for those who choose some: read in threads, in bounded time."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from triptych_common.media.locations import MediaRoots
from triptych_gateway.api.paths import allowed_directory, unreadable_directory
from triptych_gateway.catalog.library.photos import FoundPhoto
from triptych_gateway.pipeline.discovery.directory_tree import (
    Listing,
    TreeOptions,
    count_photos,
    ignored_paths,
    is_below,
    join,
    list_directory,
    list_tree,
)
from triptych_gateway.pipeline.discovery.walking import look_at

LIST_SECONDS: Final = 3.0
"""How long the photos below the directories of a list are counted."""
SCAN_SECONDS: Final = 10.0
"""How long a scan takes at most."""
MOST_SCANNED: Final = 10_000
"""Directories of the answer to a scan: as many as a session takes."""
MOST_PREVIEWED: Final = 100
"""Photos of a preview."""


@dataclass(frozen=True, kw_only=True)
class CountedDirectory:
    """A directory, and the photos below it."""

    path: bytes
    photos: int
    is_complete: bool
    """False where time ran out: there may be more."""
    is_ignored: bool


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a session over a directory would find."""

    root: bytes
    subdirectories: list[CountedDirectory]
    total_subdirectories: int
    total_photos: int
    is_complete: bool


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The photos of one directory."""

    directory: bytes
    total: int
    photos: list[FoundPhoto]
    """The first ones, by name."""


def list_subdirectories(
    named: str | None, roots: MediaRoots, *, ignored: Sequence[bytes], include_ignored: bool
) -> list[CountedDirectory]:
    """The directories of a directory, or the media roots; each with the photos at any depth below it.

    Raises ApiError.
    """
    if named is None:
        paths = sorted(set(roots.directories))
    else:
        directory = allowed_directory(named, roots)
        listing = _listing(directory)
        paths = [join(directory, name) for name in sorted((*listing.subdirectories, *listing.links))]
        paths = [path for path in paths if roots.resolve(path) is not None]
    left_out = ignored_paths(ignored)
    ignored_here = {path for path in paths if is_below(path, left_out) or is_below(os.path.realpath(path), left_out)}
    counted = []
    deadline = time.monotonic() + LIST_SECONDS
    listed = [path for path in paths if include_ignored or path not in ignored_here]
    for place, path in enumerate(listed):
        is_ignored = path in ignored_here
        options = TreeOptions(directories=(path,), ignored=frozenset() if is_ignored else left_out)
        # Each gets its share of the time that is left: a huge one leaves some for those after it.
        share = max(0.0, deadline - time.monotonic()) / (len(listed) - place)
        count = count_photos(options, roots, seconds=share)
        counted.append(
            CountedDirectory(path=path, photos=count.photos, is_complete=count.is_complete, is_ignored=is_ignored)
        )
    return counted


def scan(
    named: str, roots: MediaRoots, *, recursive: bool, extensions: frozenset[str] | None, ignored: Sequence[bytes]
) -> Scan:
    """The directories below a directory that hold photos themselves: at any depth, or only those in it.

    Raises ApiError.
    """
    root = allowed_directory(named, roots)
    options = TreeOptions(directories=(root,), recursive=recursive, ignored=ignored_paths(ignored))
    if extensions:
        options = replace(options, extensions=extensions)
    deadline = time.monotonic() + SCAN_SECONDS
    counts: Counter[bytes] = Counter()
    is_complete = True
    below = options
    if not recursive:
        listing = _listing(root)
        names = sorted((*listing.subdirectories, *listing.links))
        below = replace(options, directories=(root, *(join(root, name) for name in names)))
    for found in list_tree(below, roots):
        if isinstance(found, Listing) and found.photos:
            counts[found.path] += len(found.photos)
        if time.monotonic() > deadline:
            is_complete = False
            break
    subdirectories = sorted(path for path in counts if path != root)
    return Scan(
        root=root,
        subdirectories=[
            CountedDirectory(path=path, photos=counts[path], is_complete=is_complete, is_ignored=False)
            for path in subdirectories[:MOST_SCANNED]
        ],
        total_subdirectories=len(subdirectories),
        total_photos=counts.total() if recursive else counts[root],
        is_complete=is_complete,
    )


def preview(named: str, roots: MediaRoots) -> Preview:
    """The photos of a directory itself. Raises ApiError."""
    directory = allowed_directory(named, roots)
    names = _listing(directory).photos
    photos = []
    for name in names[:MOST_PREVIEWED]:
        path = join(directory, name)
        # Nothing is told of what a link leads to outside the roots.
        photo = look_at(path) if roots.resolve(path) is not None else None
        if photo is not None:
            photos.append(photo)
    return Preview(directory=directory, total=len(names), photos=photos)


def _listing(directory: bytes) -> Listing:
    try:
        return list_directory(directory)
    except OSError as error:
        raise unreadable_directory(directory, error) from error
