"""Directories of buckets, walked a page of names at a time: no object is read, nothing unreadable is fatal.

All depths come in one listing, so a walk costs a question for each thousand objects, however many directories they are
in. What is hidden or ignored is left out of what came.
"""

import posixpath
from collections.abc import Iterator
from itertools import groupby

from triptych_common.errors import AwayError
from triptych_common.media.locations import MediaRoots, display_path
from triptych_common.media.stores import Page
from triptych_gateway.catalog.library.photos import Problem
from triptych_gateway.pipeline.discovery.listing import (
    Interruption,
    Listing,
    TreeOptions,
    is_below,
    is_hidden,
    is_photo,
    is_walked,
    left_out,
    not_allowed,
    unreadable,
)


def list_object_tree(options: TreeOptions, roots: MediaRoots) -> Iterator[Listing | Problem | Interruption]:
    """The chosen directories, each in parts of which the last says that it is whole, and each that cannot be read."""
    chosen = dict.fromkeys(options.directories)
    for directory in chosen:
        if roots.resolve(directory) is None:
            yield not_allowed(directory)
        elif is_below(directory, options.ignored):
            yield left_out(directory)
        elif not (options.recursive and is_below(directory, frozenset(chosen.keys() - {directory}))):
            yield from _walk(directory, options, roots)


def _walk(directory: bytes, options: TreeOptions, roots: MediaRoots) -> Iterator[Listing | Problem | Interruption]:
    following: str | None = None
    told: set[bytes] = set()
    while True:
        try:
            page = roots.objects.page(directory, recursive=options.recursive, following=following)
        except AwayError as error:
            yield Interruption(path=directory, message=error.message)
            continue
        except OSError as error:
            yield unreadable(directory, error)
            return
        yield from _listings(page, directory, options)
        for path in page.unreachable:
            where = posixpath.dirname(path)
            if where not in told:
                told.add(where)
                yield _unreachable(path)
        following = page.following
        if following is None:
            yield Listing(path=directory)
            return


def _listings(page: Page, directory: bytes, options: TreeOptions) -> Iterator[Listing]:
    for parent, files in groupby(page.files, key=lambda file: posixpath.dirname(file[0])):
        below = parent[len(directory) + 1 :]
        if is_below(parent, options.ignored) or not all(is_walked(part) for part in below.split(b"/") if below):
            continue
        named = [(posixpath.basename(path), status) for path, status in files]
        photos = [one for one in named if not is_hidden(one[0]) and is_photo(one[0], options.extensions)]
        if photos:
            names, statuses = zip(*photos, strict=True)
            yield Listing(path=parent, photos=names, statuses=statuses, is_whole=False)


def _unreachable(path: bytes) -> Problem:
    return Problem(
        path=path,
        code="name_not_allowed",
        message=f"The key {display_path(path)} and those beside it are of no path: one of their parts is empty, `.` or"
        " `..`. Give them other keys.",
    )
