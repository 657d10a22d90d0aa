"""Photos in directories of this machine: the file that was checked is the one that is read."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

from triptych_common.media.failures import ImageFailure
from triptych_common.media.stores import Entry, EntryKind, FileStatus, OpenedFile, check_size, outside

_O_PATH: Final = getattr(os, "O_PATH", None)
"""Linux: a descriptor that stands for a file without opening it (open(2))."""


class LocalFiles:
    """Directories under which photos may be read; see MediaStore.

    They are compared after symbolic links are resolved, so no link leads out of them.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._directories = tuple(os.path.realpath(os.fsencode(root)) for root in roots)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The roots, resolved."""
        return self._directories

    def resolve(self, path: bytes) -> bytes | None:
        """The path with links resolved if it lies under a root, else None. Need not exist.

        What is there may change until it is used: files are opened by ``open``.
        """
        if not path.startswith(b"/") or b"\0" in path:
            return None
        resolved = os.path.realpath(path)
        return resolved if self._is_under_a_root(resolved) else None

    def entries(self, directory: bytes) -> Iterator[Entry]:
        """What a directory holds, each looked at only for its kind. Raises OSError at the first entry."""
        with os.scandir(directory) as entries:
            for entry in entries:
                yield Entry(entry.name, _kind(entry))

    def stat(self, path: bytes) -> FileStatus:
        """Size and time of what a path leads to. Raises OSError."""
        status = os.stat(path)  # noqa: PTH116 - paths are bytes here
        return FileStatus(status.st_size, status.st_mtime_ns)

    def open(self, path: bytes) -> OpenedFile:
        """Open a file under the roots for reading. The file that was checked is the one that is read.

        Nothing else is opened: not what a link leads to outside the roots, and no pipe or device. Raises OSError, and
        ImageFailure: path_not_allowed for what lies outside the roots, there or not, and unsupported_format for what is
        no file.
        """
        file = self._open(path)
        status = os.fstat(file.fileno())
        version = f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
        return OpenedFile(content=file, size_bytes=status.st_size, version=version)

    def read(self, path: bytes, *, max_bytes: int) -> bytes:
        """The whole of a file. Raises as ``open`` does, and ImageFailure too_large."""
        with self._open(path) as file:
            size = os.fstat(file.fileno()).st_size
            check_size(size, max_bytes)
            # No more memory than the file needs; one that grows, or whose size is not told, is read on.
            content = file.read(size + 1)
            if len(content) > size:
                content += file.read(max_bytes + 1 - len(content))
        check_size(len(content), max_bytes)
        return content

    def _open(self, path: bytes) -> BinaryIO:
        if not path.startswith(b"/") or b"\0" in path:
            raise outside()
        try:
            with _standing_for(path) as (descriptor, real_path):
                if real_path is None:
                    return self._open_resolved(path)
                if not self._is_under_a_root(real_path) and not self._is_under_a_root_spelled_otherwise(real_path):
                    raise outside()
                _require_file(descriptor)
                return open(f"/proc/self/fd/{descriptor}", "rb")  # noqa: PTH123 - a descriptor, by its name
        except OSError:
            # Nothing is told about what is outside the roots, nor whether it is there.
            if self.resolve(path) is None:
                raise outside() from None
            raise

    def _open_resolved(self, path: bytes) -> BinaryIO:
        """Where descriptors do not tell their paths: what replaces the file itself is noticed, a directory is not."""
        resolved = self.resolve(path)
        if resolved is None:
            raise outside()
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


def _kind(entry: os.DirEntry[bytes]) -> EntryKind:
    try:
        if entry.is_dir():
            return "link" if entry.is_symlink() else "directory"
        if entry.is_file():
            return "file"
        # Neither, or a link that leads nowhere, which raises.
        return "file" if stat.S_ISREG(entry.stat().st_mode) else "other"
    except OSError:
        return "unreadable"
