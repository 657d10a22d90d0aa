"""Counts how often each file under a directory is opened, by whichever process: the kernel's own word (inotify(7)).

So a test can say how many photos were read again after a crash without asking those who read them.
"""

import ctypes
import os
import struct
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

_IN_OPEN = 0x20
_IN_NONBLOCK = os.O_NONBLOCK
_IN_ISDIR = 0x40000000
_IN_Q_OVERFLOW = 0x4000
_HEADER = struct.Struct("iIII")
"""struct inotify_event: watch descriptor, mask, cookie, length of the name that follows."""


class FileOpens:
    """Counts from entering on; a context manager. Directories made after entering are not watched."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directories: dict[int, Path] = {}
        self._descriptor = -1
        self._counts: Counter[Path] = Counter()

    def __enter__(self) -> Self:
        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = library.inotify_init1(_IN_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1 failed")
        for directory in (self._root, *(path for path in self._root.rglob("*") if path.is_dir())):
            watch = library.inotify_add_watch(self._descriptor, os.fsencode(directory), _IN_OPEN)
            if watch < 0:
                raise OSError(ctypes.get_errno(), f"{directory} cannot be watched")
            self._directories[watch] = directory
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def counts(self) -> Counter[Path]:
        """How often each file was opened so far, by its path. Raises OSError where the kernel had to drop events."""
        while True:
            try:
                events = os.read(self._descriptor, 64 * 1024)
            except BlockingIOError:
                return self._counts.copy()
            self._take(events)

    def _take(self, events: bytes) -> None:
        position = 0
        while position < len(events):
            watch, mask, _, length = _HEADER.unpack_from(events, position)
            position += _HEADER.size
            name = events[position : position + length].rstrip(b"\0")
            position += length
            if mask & _IN_Q_OVERFLOW:
                raise OSError("the kernel dropped events: the queue of inotify was full")
            if name and not mask & _IN_ISDIR:
                self._counts[self._directories[watch] / os.fsdecode(name)] += 1
