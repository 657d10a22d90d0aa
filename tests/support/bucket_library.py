"""A media root in a bucket, beside one in a directory, that sessions are discovered over."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.object_storage import Bucket
from tests.support.photo_library import PhotoLibrary
from triptych_common.media.locations import MediaRoots


@dataclass(frozen=True, kw_only=True)
class BucketLibrary(PhotoLibrary):
    """Objects, and the catalogue of them; ``root`` is the directory beside them.

    Names are keys without the prefix ``photos/``, and of files whole paths.
    """

    bucket: Bucket
    read: list[bytes] = field(default_factory=list)
    """Paths of the photos whose content was read."""

    @property
    def base(self) -> bytes:
        """The path of the prefix."""
        return self.bucket.path("photos")

    @property
    def roots(self) -> MediaRoots:
        """Prefix and directory."""
        roots = _Roots([self.base.decode(), str(self.root)], self.bucket.storage.access)
        roots.read_paths = self.read
        return roots

    def content_of(self, path: bytes) -> bytes:
        """The hash of an object, as a service would take it."""
        return hashlib.sha256(self.roots.read(path, max_bytes=1000)).digest()

    def put(self, name: str, content: str | None = None) -> None:
        """Put an object; its content is its name where none is given."""
        self.bucket.put(f"photos/{name}", (content if content is not None else name).encode())

    def delete(self, name: str) -> None:
        """Delete an object."""
        self.bucket.delete(f"photos/{name}")

    def names(self, paths: Sequence[bytes]) -> list[str]:
        """Paths as they are named here."""
        return sorted(os.fsdecode(path).removeprefix(f"{self.base.decode()}/") for path in paths)


class _Roots(MediaRoots):
    """Media roots that remember what was opened."""

    read_paths: list[bytes]

    def open(self, path: bytes) -> Any:
        self.read_paths.append(path)
        return super().open(path)
