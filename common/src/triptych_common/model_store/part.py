"""What has come of a file so far: a file beside its place, with the digest of its content."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from triptych_common.model_store.checking import chunks_of
from triptych_common.model_store.manifest import PinnedFile


class Part:
    """Used as ``with Part(path, file) as part:``; what is in it stays, however that ends. Raises OSError."""

    def __init__(self, path: Path, file: PinnedFile) -> None:
        """``path`` is gone on with where it exists."""
        self.path = path
        self.file = file
        self.size_bytes = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        self._stream = self.path.open("a+b")
        self._stream.seek(0)
        for chunk in chunks_of(self._stream):
            self._digest.update(chunk)
            self.size_bytes += len(chunk)
        if self.size_bytes > self.file.size_bytes:
            self.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def had_bytes(self) -> int:
        """How much there is of it before it is opened."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing; whether it is right is another question."""
        return self.size_bytes == self.file.size_bytes

    @property
    def is_right(self) -> bool:
        """Whether it is the very file that is pinned."""
        return self.is_complete and self._digest.hexdigest() == self.file.sha256

    def append(self, chunk: bytes) -> None:
        """Add what came next."""
        self._stream.write(chunk)
        self._digest.update(chunk)
        self.size_bytes += len(chunk)

    def clear(self) -> None:
        """Begin again."""
        self._stream.seek(0)
        self._stream.truncate()
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def put_in_place(self, place: Path) -> None:
        """Rename it once it is right, when its content is safe on the disk."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.path.replace(place)
