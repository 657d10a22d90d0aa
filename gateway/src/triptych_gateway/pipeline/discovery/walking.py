"""Walking directories for photos: nothing is decoded, nothing unreadable is fatal."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from triptych_common.media.locations import MediaRoots
from triptych_gateway.catalog.library.photos import FoundPhoto, Problem
from triptych_gateway.pipeline.discovery.directory_tree import Listing, TreeOptions, join, list_tree


@dataclass(frozen=True, kw_only=True)
class WalkedDirectory:
    """A directory that was read to its end: a photo that was not found in it is not there."""

    path: bytes


def discover(options: TreeOptions, roots: MediaRoots) -> Iterator[FoundPhoto | Problem | WalkedDirectory]:
    """Every photo under the directories, every folder that cannot be read, and each that was read to its end.

    A photo that cannot even be looked at is yielded all the same: reading it will name the reason.
    """
    for listing in list_tree(options, roots):
        if not isinstance(listing, Listing):
            yield listing
            continue
        for name in listing.photos:
            photo = look_at(join(listing.path, name))
            if photo is not None:
                yield photo
        yield WalkedDirectory(path=listing.path)


def look_at(path: bytes) -> FoundPhoto | None:
    """A photo's size and time of change; None where nothing has its name any more."""
    try:
        status = os.stat(path)  # noqa: PTH116 - paths are bytes here
    except OSError:
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        except OSError:
            return FoundPhoto(path=path, size_bytes=0, modified_ns=0, is_readable=False)
        return FoundPhoto(path=path, size_bytes=status.st_size, modified_ns=status.st_mtime_ns, is_readable=False)
    return FoundPhoto(path=path, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)
