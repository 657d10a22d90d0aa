"""Directories of this machine, walked by name: no file is looked at, nothing unreadable is fatal."""

import os
from collections import deque
from collections.abc import Iterator

from triptych_common.media.formats import PHOTO_EXTENSIONS
from triptych_common.media.locations import MediaRoots
from triptych_common.media.stores import FileStatus
from triptych_gateway.catalog.library.photos import Problem
from triptych_gateway.pipeline.discovery.listing import (
    Listing,
    TreeOptions,
    is_below,
    is_hidden,
    is_photo,
    is_walked,
    join,
    left_out,
    not_allowed,
    unreadable,
)


def list_local_tree(options: TreeOptions, roots: MediaRoots) -> Iterator[Listing | Problem]:
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
            yield not_allowed(directory)
        elif is_below(directory, options.ignored) or is_below(resolved, options.ignored):
            if directory in chosen:
                yield left_out(directory)
        else:
            try:
                status = os.stat(directory)  # noqa: PTH116 - paths are bytes here
                if (status.st_dev, status.st_ino) in seen:
                    if os.path.islink(directory):  # noqa: PTH114 - paths are bytes here
                        yield Problem(path=directory, code="symlink_loop", message="The directory was walked already.")
                    yield Listing(path=directory)
                    continue
                listing = list_directory(directory, roots, options.extensions)
            except OSError as error:
                yield unreadable(directory, error)
                continue
            seen.add((status.st_dev, status.st_ino))
            yield listing
            if options.recursive:
                waiting += [join(directory, name) for name in reversed(listing.subdirectories)]
                links += [join(directory, name) for name in listing.links]


def list_directory(directory: bytes, roots: MediaRoots, extensions: frozenset[str] = PHOTO_EXTENSIONS) -> Listing:
    """One directory of any store, without what is hidden and what systems keep. Raises OSError and AwayError.

    Only names are held, of 200,000 files or more, and of objects their statuses.
    """
    subdirectories: list[bytes] = []
    links: list[bytes] = []
    photos: list[bytes] = []
    statuses: dict[bytes, FileStatus] = {}
    for name, kind, status in roots.entries(directory):
        if is_hidden(name):
            continue
        if kind in ("directory", "link"):
            if is_walked(name):
                (links if kind == "link" else subdirectories).append(name)
        elif kind != "other" and is_photo(name, extensions):
            photos.append(name)
            if status is not None:
                statuses[name] = status
    photos.sort()
    return Listing(
        path=directory,
        subdirectories=tuple(sorted(subdirectories)),
        links=tuple(sorted(links)),
        photos=tuple(photos),
        statuses=tuple(statuses[name] for name in photos if name in statuses),
    )
