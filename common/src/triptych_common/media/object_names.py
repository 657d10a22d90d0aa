"""Names of objects: which are paths, and which lie under a media root. Nothing here asks a store.

The path of an object is its URI as people write it, ``s3://bucket/key``, of the key's own bytes. Parts of a key are
taken as those of a path are; a key that no path could have (an empty part, ``.`` or ``..``) is of no photo: what lies
between here and the store may take it for another one (RFC 3986, 6.2.2.3).
"""

import re
from typing import Final

from triptych_common.errors import ConfigurationError

OBJECT_SCHEME: Final = b"s3://"
_BUCKET: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
"""Names of buckets, old ones (before 2018, with upper case and underscores) among them."""
_MAX_KEY_BYTES: Final = 1024


def is_object_path(path: bytes) -> bool:
    """Whether a path is that of an object, allowed or not."""
    return path.startswith(OBJECT_SCHEME)


def object_root(root: str) -> bytes:
    """A media root, as the path of a directory of objects. Raises ConfigurationError for one that cannot be."""
    path = root.rstrip("/").encode()
    if not is_object_path(path) or plain_parts(path) is None:
        raise ConfigurationError(
            f"The media root {root} is neither a directory nor of the form s3://bucket or s3://bucket/prefix, whose "
            "prefix has no empty part, no `.` and no `..`."
        )
    return path


def plain_parts(path: bytes) -> tuple[str, str] | None:
    """Bucket and key of an object's path, or of a directory's; the key is empty for a bucket. None for no such path."""
    if not is_object_path(path):
        return None
    bucket, slash, key = path[len(OBJECT_SCHEME) :].partition(b"/")
    if not _BUCKET.fullmatch(bucket) or (slash and not is_plain_key(key)):
        return None
    return bucket.decode(), key.decode()


def is_plain_key(key: bytes) -> bool:
    """Whether a key is also a relative path: no part of it is empty, ``.`` or ``..``, and it is UTF-8 without NUL."""
    if b"\0" in key or len(key) > _MAX_KEY_BYTES or any(part in {b"", b".", b".."} for part in key.split(b"/")):
        return False
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_under(path: bytes, root: bytes) -> bool:
    """Whether a path is a root or lies below it, part by part."""
    return path == root or path.startswith(root + b"/")
