"""Photos that are not any more what discovery found, once they are read."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.corpus.hostile import CORRUPT, DENIED, EMBEDDED, EMPTY, LOOP, NOT_FOUND, OUTSIDE, TOO_LARGE, UNSUPPORTED
from tests.support.claiming_pictures import png_that_claims


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of a photo, and how it ends."""

    make: Callable[[Path], None]
    end: str


def _replace_with(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


def changes(*, outside: Path, most_bytes: int) -> dict[str, Change]:
    """All of them, by the name of the photo."""

    def grow(path: Path) -> None:
        with path.open("ab") as file:
            file.write(os.urandom(100_000))

    def grow_beyond_all(path: Path) -> None:
        with path.open("ab") as file:
            file.truncate(most_bytes + 1)

    def write(content: bytes) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            path.write_bytes(content)

        return change

    def halve(path: Path) -> None:
        os.truncate(path, path.stat().st_size // 2)

    return {
        "vanishes": Change(make=Path.unlink, end=NOT_FOUND),
        "grows": Change(make=grow, end=EMBEDDED),
        "grows-beyond-all": Change(make=grow_beyond_all, end=TOO_LARGE),
        "shrinks": Change(make=halve, end=CORRUPT),
        "empties": Change(make=lambda path: os.truncate(path, 0), end=EMPTY),
        "closes": Change(make=lambda path: path.chmod(0), end=DENIED),
        "becomes-a-pipe": Change(make=_replace_with(os.mkfifo), end=UNSUPPORTED),
        "becomes-a-directory": Change(make=_replace_with(Path.mkdir), end=UNSUPPORTED),
        "becomes-a-link-out": Change(make=_replace_with(lambda path: path.symlink_to(outside)), end=OUTSIDE),
        "becomes-a-link-to-itself": Change(make=_replace_with(lambda path: path.symlink_to(path.name)), end=LOOP),
        "becomes-text": Change(make=write(b"no photo"), end=UNSUPPORTED),
        "becomes-a-bomb": Change(make=write(png_that_claims(60_000, 60_000)), end=TOO_LARGE),
    }


DIRECTORY: Final = "zz-changing"
"""The last one in the order of paths: its photos are read last."""


class Changing:
    """A directory of photos, and what becomes of them."""

    def __init__(self, library: Path, *, photo: bytes, outside: Path, most_bytes: int) -> None:
        self._directory = library / DIRECTORY
        self._changes = changes(outside=outside, most_bytes=most_bytes)
        self._directory.mkdir()
        for name in self._changes:
            self._path(name).write_bytes(photo)

    def change(self) -> None:
        """Let it happen to all of them."""
        for name, change in self._changes.items():
            change.make(self._path(name))

    def expected(self) -> dict[bytes, frozenset[str]]:
        """How each ends."""
        return {os.fsencode(self._path(name)): frozenset({change.end}) for name, change in self._changes.items()}

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.jpg"
