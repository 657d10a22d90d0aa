"""Photo locations: paths are bytes, URIs are percent-encoded, and only media roots may be read."""

import os
from collections.abc import Sequence
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from triptych_common.media.failures import ImageFailure


def uri_from_path(path: bytes) -> str:
    """The file URI of an absolute path; every byte survives the way back."""
    return "file://" + quote_from_bytes(path)


def path_from_uri(uri: str) -> bytes:
    """The absolute path of a file URI. Raises ValueError for another scheme, another host or a relative path."""
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ValueError(f"not a URI of a local file: scheme {parts.scheme!r}, host {parts.netloc!r}")
    path = unquote_to_bytes(parts.path)
    if not path.startswith(b"/") or b"\0" in path:
        raise ValueError("the path of a file URI is absolute and holds no NUL byte")
    return path


def display_path(path: bytes) -> str:
    """A path as text for people and JSON: bytes that are not UTF-8 appear as ``\\xNN``."""
    return path.decode("utf-8", errors="backslashreplace")


class MediaRoots:
    """The places under which photos may be read.

    ``roots`` are directories or URI prefixes (``s3://bucket/photos``). Directories are compared after symbolic links
    are resolved, so no link leads out of them.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._directories = tuple(os.path.realpath(os.fsencode(root)) for root in roots if "://" not in root)
        self._prefixes = tuple(root.rstrip("/") + "/" for root in roots if "://" in root)

    @property
    def directories(self) -> tuple[bytes, ...]:
        """The local roots, resolved."""
        return self._directories

    def resolve(self, path: bytes) -> bytes | None:
        """The path with links resolved if it lies under a root, else None. Need not exist."""
        if not path.startswith(b"/") or b"\0" in path:
            return None
        resolved = os.path.realpath(path)
        for root in self._directories:
            if resolved == root or resolved.startswith(root.rstrip(b"/") + b"/"):
                return resolved
        return None

    def check_uri(self, uri: str) -> bytes | None:
        """The resolved local path of an allowed file URI, or None for an allowed remote one.

        Raises ImageFailure (path_not_allowed) for anything outside the roots.
        """
        if uri.startswith("file:"):
            try:
                resolved = self.resolve(path_from_uri(uri))
            except ValueError as error:
                raise ImageFailure("path_not_allowed", f"The address cannot be read: {error}.") from error
            if resolved is not None:
                return resolved
        elif any(uri.startswith(prefix) for prefix in self._prefixes) and "/../" not in uri:
            return None
        raise ImageFailure("path_not_allowed", "The photo lies outside the media roots of this service.")
