"""Walking directories for photos: nothing is decoded, nothing unreadable is fatal."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from triptych_common.media.locations import MediaRoots
from triptych_common.media.object_names import is_object_path
from triptych_gateway.catalog.library.photos import MAX_PATH_BYTES, FoundPhoto, Problem
from triptych_gateway.pipeline.discovery.directory_tree import list_tree
from triptych_gateway.pipeline.discovery.listing import Interruption, Listing, TreeOptions, join, too_long


@dataclass(frozen=True, kw_only=True)
class WalkedDirectory:
    """A directory that was read to its end: a photo that was not found in it is not there, nor below it in a bucket."""

    path: bytes


def discover(
    options: TreeOptions, roots: MediaRoots
) -> Iterator[FoundPhoto | Problem | WalkedDirectory | Interruption]:
    """Every photo under the directories, every folder that cannot be read, and each that was read to its end.

    A photo that cannot even be looked at is yielded all the same: reading it will name the reason. After an
    interruption the walk goes on with what was interrupted.
    """
    for listing in list_tree(options, roots):
        if not isinstance(listing, Listing):
            yield listing
            continue
        for photo in photos_of(listing, roots):
            yield photo if len(photo.path) <= MAX_PATH_BYTES else too_long(photo.path)
        if listing.is_whole:
            yield WalkedDirectory(path=listing.path)


def photos_of(listing: Listing, roots: MediaRoots) -> Iterator[FoundPhoto]:
    """The photos that a listing names, without those that are gone since. Raises AwayError."""
    if listing.statuses:
        for name, status in zip(listing.photos, listing.statuses, strict=True):
            yield FoundPhoto(
                path=join(listing.path, name), size_bytes=status.size_bytes, modified_ns=status.modified_ns
            )
        return
    for name in listing.photos:
        photo = look_at(join(listing.path, name), roots)
        if photo is not None:
            yield photo


def look_at(path: bytes, roots: MediaRoots) -> FoundPhoto | None:
    """A photo's size and time of change; None where nothing has its name any more. Raises AwayError."""
    try:
        status = roots.stat(path)
    except OSError as error:
        return _look_closer(path, error)
    return FoundPhoto(path=path, size_bytes=status.size_bytes, modified_ns=status.modified_ns)


def _look_closer(path: bytes, error: OSError) -> FoundPhoto | None:
    """What has the name of a photo and cannot be looked at, such as a link that leads nowhere."""
    if is_object_path(path):
        is_nothing = isinstance(error, FileNotFoundError | IsADirectoryError)
        return None if is_nothing else FoundPhoto(path=path, size_bytes=0, modified_ns=0, is_readable=False)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError:
        return FoundPhoto(path=path, size_bytes=0, modified_ns=0, is_readable=False)
    return FoundPhoto(path=path, size_bytes=status.st_size, modified_ns=status.st_mtime_ns, is_readable=False)
