"""Bytes that two processes share: a file that lies in memory and has no name."""

import os
import tempfile
from typing import Any, Final, Self

_MOST_KEPT_BYTES: Final = 16 * 2**20
"""What stays allocated for the next photo: most are smaller, and what is there already is written faster."""


class SharedBytes:
    """A file in memory, written by one process and read by another. Close it when done.

    Not mapped by the reader: whoever else has it could make it shorter, and a page that is not there any more ends the
    process that touches it. Memory of this kind (memfd_create(2)) needs no room in /dev/shm.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> Self:
        """A new one, empty. Raises OSError."""
        if hasattr(os, "memfd_create"):
            return cls(os.memfd_create("photo", os.MFD_CLOEXEC))
        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()))

    def write(self, content: Any) -> None:
        """Put a buffer's bytes at the beginning. Raises OSError."""
        left = memoryview(content).cast("B")
        at = 0
        while left:
            written = os.pwrite(self.descriptor, left, at)
            at, left = at + written, left[written:]

    def read(self, size_bytes: int) -> bytes:
        """So many bytes from the beginning, or as many as there are. Raises OSError, and MemoryError."""
        content = os.pread(self.descriptor, size_bytes, 0)
        # One call reads two gigabytes at most.
        while len(content) < size_bytes and (more := os.pread(self.descriptor, 2**30, len(content))):
            content += more
        return content

    def read_into(self, buffer: memoryview) -> bool:
        """Fill a buffer of bytes from the beginning; whether there were enough. Raises OSError."""
        at = 0
        while at < len(buffer) and (count := os.preadv(self.descriptor, [buffer[at:]], at)):
            at += count
        return at == len(buffer)

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return os.fstat(self.descriptor).st_size

    def trim(self) -> None:
        """Let go of the memory of a large photo."""
        if self.size_bytes > _MOST_KEPT_BYTES:
            os.ftruncate(self.descriptor, 0)

    def close(self) -> None:
        """Let go of it; its memory is free when all processes have."""
        os.close(self.descriptor)
