"""Photo locations: paths are bytes, URIs are percent-encoded, and only media roots may be read."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from triptych_common.media.failures import ImageFailure

_O_PATH: Final = getattr(os, "O_PATH", None)
"""Linux: a descriptor that stands for a file without opening it (open(2))."""


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
        """The path with links resolved if it lies under a root, else None. Need not exist.

        What is there may change until it is used: files are opened by ``open``.
        """
        if not path.startswith(b"/") or b"\0" in path:
            return None
        resolved = os.path.realpath(path)
        return resolved if self._is_under_a_root(resolved) else None

    def open(self, path: bytes) -> BinaryIO:
        """Open a file under the roots for reading. The file that was checked is the one that is read.

        Nothing else is opened: not what a link leads to outside the roots, and no pipe or device. Raises OSError, and
        ImageFailure: path_not_allowed for what lies outside the roots, there or not, and unsupported_format for what is
        no file.
        """
        if not path.startswith(b"/") or b"\0" in path:
            raise _outside()
        try:
            with _standing_for(path) as (descriptor, real_path):
                if real_path is None:
                    return self._open_resolved(path)
                if not self._is_under_a_root(real_path) and not self._is_under_a_root_spelled_otherwise(real_path):
                    raise _outside()
                _require_file(descriptor)
                return open(f"/proc/self/fd/{descriptor}", "rb")  # noqa: PTH123 - a descriptor, by its name
        except OSError:
            # Nothing is told about what is outside the roots, nor whether it is there.
            if self.resolve(path) is None:
                raise _outside() from None
            raise

    def _open_resolved(self, path: bytes) -> BinaryIO:
        """Where descriptors do not tell their paths: what replaces the file itself is noticed, a directory is not."""
        resolved = self.resolve(path)
        if resolved is None:
            raise _outside()
        # A pipe that has a photo's name is not waited for.
        descriptor = os.open(resolved, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _require_file(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return open(descriptor, "rb")  # noqa: PTH123 - a descriptor

    def _is_under_a_root(self, resolved: bytes) -> bool:
        return any(resolved == root or resolved.startswith(root.rstrip(b"/") + b"/") for root in self._directories)

    def _is_under_a_root_spelled_otherwise(self, real_path: bytes) -> bool:
        """Where a file system does not tell upper from lower case: whether a directory above is the same as a root."""
        parts = real_path.split(b"/")
        for root in self._directories:
            above = b"/".join(parts[: root.count(b"/") + 1])
            if above.lower() != root.lower():
                continue
            try:
                if os.path.samestat(os.stat(above), os.stat(root)):  # noqa: PTH116 - paths are bytes here
                    return True
            except OSError:
                continue
        return False

    def check_uri(self, uri: str) -> bytes | None:
        """The path of a local file's URI, which ``open`` checks, or None for an allowed remote one.

        Raises ImageFailure (path_not_allowed) for anything else.
        """
        if uri.startswith("file:"):
            try:
                return path_from_uri(uri)
            except ValueError as error:
                raise ImageFailure("path_not_allowed", f"The address cannot be read: {error}.") from error
        if any(uri.startswith(prefix) for prefix in self._prefixes) and "/../" not in uri:
            return None
        raise _outside()


@contextmanager
def _standing_for(path: bytes) -> Iterator[tuple[int, bytes | None]]:
    """A descriptor that stands for a file without opening it, and the file's path without links.

    No path, and no descriptor, where the system has no such thing. Raises OSError.
    """
    if _O_PATH is None:
        yield -1, None
        return
    descriptor = os.open(path, _O_PATH | os.O_CLOEXEC)
    try:
        try:
            real_path = os.readlink(b"/proc/self/fd/%d" % descriptor)  # noqa: PTH115 - paths are bytes here
        except FileNotFoundError:  # /proc is not mounted
            real_path = None
        yield descriptor, real_path
    finally:
        os.close(descriptor)


def _require_file(descriptor: int) -> None:
    """Raises OSError for a directory, ImageFailure for what else is no file."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise ImageFailure("unsupported_format", "This is not a file.")


def _outside() -> ImageFailure:
    return ImageFailure("path_not_allowed", "The photo lies outside the media roots of this service.")
