"""Whether files are still what the catalogue knows of them: there, gone, or of another content.

Of objects, AwayError is raised where the store does not answer: that says nothing about any of them.
"""

import hashlib
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from triptych_common.media.failures import ImageFailure
from triptych_common.media.locations import MediaRoots
from triptych_common.media.object_names import is_object_path
from triptych_common.media.object_times import have_same_tag
from triptych_gateway.catalog.library.moves import KnownPhoto
from triptych_gateway.pipeline.discovery.listing import join, parents_of

_BLOCK_BYTES: Final = 1 << 20


def content_sha256(path: bytes, roots: MediaRoots) -> bytes | None:
    """SHA-256 of a file under the media roots; None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with roots.open(path) as file:
            while block := file.content.read(_BLOCK_BYTES):
                digest.update(block)
    except (OSError, ImageFailure):
        return None
    return digest.digest()


def hash_for(paths: Iterable[bytes], roots: MediaRoots, *, seconds: float) -> Iterator[tuple[bytes, bytes | None]]:
    """Hashes of files, of the first one in any case and of more until so much time has passed."""
    deadline = time.monotonic() + seconds
    for path in paths:
        yield path, content_sha256(path, roots)
        if time.monotonic() > deadline:
            return


def has_left(photo: KnownPhoto, roots: MediaRoots) -> bool:
    """Whether a photo's content is no longer under the path that the catalogue knows.

    False where that cannot be told: under a media root that is away, or in a directory that may not be read.
    """
    if is_object_path(photo.path):
        return _has_left_its_key(photo, roots)
    root = _root_of(photo.path, roots)
    if root is None or not os.path.isdir(root):  # noqa: PTH112 - paths are bytes here
        return False
    return _has_left_its_path(photo, root, roots)


def _has_left_its_path(photo: KnownPhoto, root: bytes, roots: MediaRoots) -> bool:
    try:
        status = os.stat(photo.path)  # noqa: PTH116 - paths are bytes here
    except (FileNotFoundError, NotADirectoryError):
        return _is_nothing(photo.path)
    except OSError:
        return False
    if status.st_size != photo.size_bytes:
        return True
    if status.st_mtime_ns != photo.modified_ns:
        found = content_sha256(photo.path, roots)
        return found is not None and found != photo.content_sha256
    return not _is_named_so(photo.path, root)


def _has_left_its_key(photo: KnownPhoto, roots: MediaRoots) -> bool:
    if roots.resolve(photo.path) is None:
        return False
    try:
        status = roots.stat(photo.path)
    except OSError:
        return photo.path in roots.objects.absent([photo.path])
    if status.size_bytes != photo.size_bytes:
        return True
    if status.modified_ns == photo.modified_ns or have_same_tag(status.modified_ns, photo.modified_ns):
        return False
    found = content_sha256(photo.path, roots)
    return found is not None and found != photo.content_sha256


def _root_of(path: bytes, roots: MediaRoots) -> bytes | None:
    """The media root under which a path leads, whether there is anything or not."""
    resolved = roots.resolve(path)
    if resolved is None:
        return None
    return next(root for root in roots.directories if resolved == root or root in parents_of(resolved))


def _is_named_so(path: bytes, root: bytes) -> bool:
    """Whether something that is there under a path has this very name, in upper and lower case.

    Where a file system does not tell the cases apart, a renamed file is still there under its old name.
    """
    for one in (path, *parents_of(path)):
        if one == root:
            break
        directory, name = os.path.split(one)
        other = name.swapcase()
        if other == name:
            continue
        try:
            if os.path.samestat(os.lstat(one), os.lstat(join(directory, other))) and name not in os.listdir(directory):  # noqa: PTH208
                return False
        except OSError:
            continue
    return True


def gone(
    paths: Sequence[bytes], roots: MediaRoots, *, walked: Collection[bytes], ignored: Collection[bytes]
) -> list[bytes]:
    """Those of some paths under which a walk shows that there is nothing any more."""
    files = [path for path in paths if not is_object_path(path)]
    objects = [
        path
        for path in paths
        if is_object_path(path)
        and any(one in walked for one in parents_of(path))
        and not any(one in ignored for one in parents_of(path))
        and roots.resolve(path) is not None
    ]
    absent = roots.objects.absent(objects) if objects else frozenset()
    return [path for path in files if is_gone(path, walked=walked, ignored=ignored)] + sorted(absent)


def is_gone(path: bytes, *, walked: Collection[bytes], ignored: Collection[bytes]) -> bool:
    """Whether a walk shows that there is nothing under a path any more.

    The nearest directory above it that is still there must have been walked: not one that could not be read, that is
    ignored, or that the walk did not come to.
    """
    if not _is_nothing(path) or any(directory in ignored for directory in parents_of(path)):
        return False
    there = (one for one in parents_of(path) if one in walked or (not _is_nothing(one) and not os.path.isfile(one)))  # noqa: PTH113
    return next(there, b"") in walked


def _is_nothing(path: bytes) -> bool:
    """Whether it is certain that nothing is there, not even a link that leads nowhere."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
