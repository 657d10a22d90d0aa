"""Pictures that were made once, on disk: those not used for longest go when there are too many bytes of them."""

import contextlib
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from triptych_common.logging import get_logger

log = get_logger(__name__)

_KEPT_SHARE: Final = 0.9
"""How full the cache is after making room, so that room is not made for every picture."""


@dataclass(frozen=True)
class _Kept:
    used_ns: int
    size_bytes: int
    path: Path


class PictureCache:
    """JPEG files by key, of at most so many bytes in all; 0 keeps none. For several threads, and several gateways.

    When a file was used last is its time of change.
    """

    def __init__(self, directory: Path, *, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._size_bytes: int | None = None
        """As far as this process knows; None before it has looked."""
        self._lock = threading.Lock()
        self._mark = directory / "emptied"
        """What the cache was emptied for last."""
        self._times_emptied = 0

    def get(self, key: str) -> bytes | None:
        """A picture that is there and can be read; None otherwise: it is made again."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return content

    @property
    def times_emptied(self) -> int:
        """How often this process has emptied the cache."""
        return self._times_emptied

    def put(self, key: str, content: bytes, *, times_emptied: int) -> None:
        """Keep a picture, unless the cache was emptied since ``times_emptied`` was asked for: before it was made.

        One that cannot be kept is only told of in the log.
        """
        if len(content) > self._most_bytes:
            return
        path = self._path(key)
        aside = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(content)
            aside.replace(path)
        except OSError as error:
            log.warning("a picture could not be kept in the cache", path=str(path), error=str(error))
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            return
        with self._lock:
            if self._times_emptied != times_emptied:
                path.unlink(missing_ok=True)
                return
            if self._size_bytes is None:
                self._size_bytes = sum(one.size_bytes for one in self._kept())
            else:
                self._size_bytes += len(content)
            if self._size_bytes > self._most_bytes:
                self._make_room()

    def emptied_for(self) -> str:
        """The mark with which the cache was emptied last; empty before that."""
        try:
            return self._mark.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def empty(self, mark: str) -> int:
        """Remove every picture, and remember the mark; returns how many there were. Raises OSError."""
        with self._lock:
            self._times_emptied += 1
            kept = self._kept()
            for one in kept:
                one.path.unlink(missing_ok=True)
            self._size_bytes = 0
        self._directory.mkdir(parents=True, exist_ok=True)
        self._mark.write_text(mark, encoding="utf-8")
        return len(kept)

    def remove_unused(self, *, before_seconds: float) -> int:
        """Remove pictures that were not used since then, in seconds since 1970; returns how many."""
        with self._lock:
            old = [one for one in self._kept() if one.used_ns < before_seconds * 1e9]
            for one in old:
                one.path.unlink(missing_ok=True)
            self._size_bytes = None
        return len(old)

    def _path(self, key: str) -> Path:
        return self._directory / key[:2] / f"{key}.jpg"

    def _make_room(self) -> None:
        """Remove what was not used for longest; what other gateways wrote counts too."""
        kept = sorted(self._kept(), key=lambda one: one.used_ns)
        size_bytes = sum(one.size_bytes for one in kept)
        for one in kept:
            if size_bytes <= _KEPT_SHARE * self._most_bytes:
                break
            # Another gateway may have been faster.
            one.path.unlink(missing_ok=True)
            size_bytes -= one.size_bytes
        self._size_bytes = size_bytes

    def _kept(self) -> list[_Kept]:
        found = []
        for folder in self._entries(self._directory):
            for entry in self._entries(folder.path):
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                found.append(_Kept(status.st_mtime_ns, status.st_size, Path(entry.path)))
        return found

    @staticmethod
    def _entries(directory: Path | str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(directory) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
