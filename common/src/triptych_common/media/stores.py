"""What every place that photos are read from offers: to list, to look at, to open and to read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self

from triptych_common.media.failures import ImageFailure

EntryKind = Literal["directory", "link", "file", "other", "unreadable"]
"""`link` is a symbolic link to a directory; `unreadable` is what cannot be looked at."""


class FileStatus(NamedTuple):
    """What is known of a file without opening it: where neither differs, it counts as unchanged."""

    size_bytes: int
    modified_ns: int
    """Time of its last change, in nanoseconds since 1970."""


class Entry(NamedTuple):
    """Something that a directory holds."""

    name: bytes
    kind: EntryKind
    status: FileStatus | None = None
    """Where listing told it."""


class Readable(Protocol):
    """Bytes to read."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes, empty only at the end. Raises OSError, and AwayError where the store is away."""

    def close(self) -> None:
        """Let go of the file."""


@dataclass(frozen=True, kw_only=True)
class OpenedFile:
    """A file that was found to lie under the media roots, opened. Whoever has it closes it."""

    content: Readable
    size_bytes: int
    version: str
    """Another one when the file has another content."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.content.close()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of what a directory of objects holds, in the order of paths."""

    files: tuple[tuple[bytes, FileStatus], ...]
    """Paths and statuses."""
    directories: tuple[bytes, ...]
    """Names of what is right below; none where all depths were asked for."""
    unreachable: tuple[bytes, ...]
    """What is of no plain path; see object_names."""
    following: str | None
    """What to ask for the page after it with; None at the last one."""


class MediaStore(Protocol):
    """A place that photos are read from, as far as the media roots reach. For several threads.

    Paths are bytes, and begin as those of ``roots`` do. ``entries`` and ``stat`` are for what ``resolve`` allows;
    ``open`` and ``read`` check it themselves: they raise ImageFailure, path_not_allowed for what lies outside the
    roots, there or not, and unsupported_format for what is no file. All raise OSError, and AwayError where the store
    does not answer, which says nothing about the file.
    """

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The media roots that lie here."""

    def resolve(self, path: bytes) -> bytes | None:
        """The path in its one spelling if it lies under a root, else None. Need not exist."""

    def entries(self, directory: bytes) -> Iterator[Entry]:
        """What a directory holds, in no particular order."""

    def stat(self, path: bytes) -> FileStatus:
        """Size and time of a file."""

    def open(self, path: bytes) -> OpenedFile:
        """Open a file."""

    def read(self, path: bytes, *, max_bytes: int) -> bytes:
        """The whole of a file. Raises ImageFailure too_large for one of more than ``max_bytes``, without reading it."""


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Raises ImageFailure too_large."""
    if size_bytes > max_bytes:
        raise ImageFailure("too_large", f"The file is larger than {max_bytes:,} bytes.")


def outside() -> ImageFailure:
    """What is told of whatever lies outside the roots."""
    return ImageFailure("path_not_allowed", "The photo lies outside the media roots of this service.")
