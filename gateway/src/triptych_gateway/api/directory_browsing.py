"""Directories as their stores have them, for those who choose some: read in threads, in bounded time."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from triptych_common.errors import AwayError
from triptych_common.media.locations import MediaRoots
from triptych_gateway.api.paths import allowed_directory, unreadable_directory
from triptych_gateway.catalog.library.photos import FoundPhoto
from triptych_gateway.pipeline.discovery.directory_tree import count_photos, list_tree
from triptych_gateway.pipeline.discovery.listing import (
    Interruption,
    Listing,
    TreeOptions,
    ignored_paths,
    is_below,
    join,
)
from triptych_gateway.pipeline.discovery.local_tree import list_directory
from triptych_gateway.pipeline.discovery.walking import photos_of

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

    Raises ApiError, and AwayError where the store of the directory is away.
    """
    if named is None:
        paths = sorted(set(roots.all))
    else:
        directory = allowed_directory(named, roots)
        listing = _listing(directory, roots)
        paths = [join(directory, name) for name in sorted((*listing.subdirectories, *listing.links))]
        paths = [path for path in paths if roots.resolve(path) is not None]
    left_out = ignored_paths(ignored)
    ignored_here = {
        path for path in paths if is_below(path, left_out) or is_below(roots.resolve(path) or path, left_out)
    }
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

    Raises ApiError, and AwayError where a store is away.
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
        listing = _listing(root, roots)
        names = sorted((*listing.subdirectories, *listing.links))
        below = replace(options, directories=(root, *(join(root, name) for name in names)))
    for found in list_tree(below, roots):
        if isinstance(found, Interruption):
            raise AwayError(found.message, reason="STORE_AWAY")
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
    """The photos of a directory itself. Raises ApiError, and AwayError where its store is away."""
    directory = allowed_directory(named, roots)
    listing = _listing(directory, roots)
    shown = replace(listing, photos=listing.photos[:MOST_PREVIEWED], statuses=listing.statuses[:MOST_PREVIEWED])
    # Nothing is told of what a link leads to outside the roots.
    photos = [photo for photo in photos_of(shown, roots) if roots.resolve(photo.path) is not None]
    return Preview(directory=directory, total=len(listing.photos), photos=photos)


def _listing(directory: bytes, roots: MediaRoots) -> Listing:
    try:
        return list_directory(directory, roots)
    except OSError as error:
        raise unreadable_directory(directory, error) from error
