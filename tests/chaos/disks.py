"""Small disks of parts, that can be filled: file systems in memory.

Whoever mounts them should have a mount namespace of its own (`unshare --mount`), so that they are gone however it ends.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SIZES: Final[Mapping[str, str]] = {"triptych": "32m", "postgres": "384m", "nats": "128m", "gateway": "16m"}
_LITTLE_BYTES: Final = 8 * 2**20
_BLOCK_BYTES: Final = 2**20


@dataclass(frozen=True, kw_only=True)
class Disks:
    """The disk of each part that writes files, by its name."""

    mounts: Mapping[str, Path]

    @contextlib.contextmanager
    def crowded(self, part: str) -> Iterator[None]:
        """Leave a part little room, so that the rest is quickly taken. Raises RuntimeError where it has no disk."""
        if not self.mounts[part].is_mount():
            raise RuntimeError(f"{self.mounts[part]} is no disk of its own")
        room = shutil.disk_usage(self.mounts[part]).free - _LITTLE_BYTES
        with _ballast(self.mounts[part] / "crowd") as path:
            if room > 0:
                with path.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, room)
            yield

    @contextlib.contextmanager
    def filled(self, part: str) -> Iterator[None]:
        """Leave a part not one byte of room."""
        with _ballast(self.mounts[part] / "ballast") as path:
            _fill(path)
            yield


@contextlib.contextmanager
def _ballast(path: Path) -> Iterator[Path]:
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _fill(path: Path) -> None:
    """Write until there is no room, in blocks that get smaller."""
    with path.open("wb", buffering=0) as file:
        size = _BLOCK_BYTES
        while size:
            try:
                if file.write(bytes(size)) < size:
                    size //= 2
            except OSError:
                size //= 2


@contextlib.contextmanager
def disks_of_a_stack(directory: Path, *, mounted: bool) -> Iterator[Disks]:
    """The disks of a stack under its directory; where they may not be mounted they are directories."""
    data = directory / "data"
    # Whose own files are the log and the record of who runs; the others' disks are mounted on it.
    mounts = {"triptych": data, "postgres": data / "postgres", "nats": data / "nats", "gateway": directory / "gateway"}
    with contextlib.ExitStack() as exits:
        for part, mount in mounts.items():
            mount.mkdir(mode=0o711)
            if mounted:
                options = f"size={_SIZES[part]},mode=711"
                subprocess.run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mount)), check=True)
                exits.callback(subprocess.run, ("umount", "--lazy", str(mount)), check=True)
        yield Disks(mounts=mounts)
