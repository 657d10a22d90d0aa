"""What directories hold, whatever stores they lie in."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from triptych_common.media.locations import MediaRoots
from triptych_common.media.object_names import is_object_path
from triptych_gateway.catalog.library.photos import Problem
from triptych_gateway.pipeline.discovery.listing import Interruption, Listing, TreeOptions, normalised_path
from triptych_gateway.pipeline.discovery.local_tree import list_local_tree
from triptych_gateway.pipeline.discovery.object_tree import list_object_tree


@dataclass(frozen=True, kw_only=True)
class PhotoCount:
    """How many photos there are."""

    photos: int
    is_complete: bool
    """False where time ran out, or a store is away: there may be more."""


def list_tree(options: TreeOptions, roots: MediaRoots) -> Iterator[Listing | Problem | Interruption]:
    """What all chosen directories hold, and each that cannot be read: those of this machine, then those of buckets."""
    chosen = [normalised_path(directory) for directory in options.directories]
    of_objects = tuple(directory for directory in chosen if is_object_path(directory))
    of_files = tuple(directory for directory in chosen if not is_object_path(directory))
    yield from list_local_tree(replace(options, directories=of_files), roots)
    yield from list_object_tree(replace(options, directories=of_objects), roots)


def count_photos(options: TreeOptions, roots: MediaRoots, *, seconds: float) -> PhotoCount:
    """How many photos there are under directories, for as far as one comes in so long."""
    deadline = time.monotonic() + seconds
    count = 0
    for listing in list_tree(options, roots):
        if isinstance(listing, Interruption):
            return PhotoCount(photos=count, is_complete=False)
        count += len(listing.photos) if isinstance(listing, Listing) else 0
        if time.monotonic() > deadline:
            return PhotoCount(photos=count, is_complete=False)
    return PhotoCount(photos=count, is_complete=True)
