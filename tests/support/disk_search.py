"""Looks for bytes in every file under some directories, whatever wrote them."""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TELLING_BYTES = 48


def part_of_vector(vector: NDArray[np.float32]) -> bytes:
    """Bytes of a vector as PostgreSQL stores it, that lie in one piece wherever it is cut, and in no other vector."""
    return _part(vector.astype("<f4").tobytes())


def part_of_half_vector(vector: NDArray[np.float16]) -> bytes:
    """The same of one at half precision."""
    return _part(vector.astype("<f2").tobytes())


def _part(content: bytes) -> bytes:
    # Zeros are everywhere.
    for start in range(0, len(content) - _TELLING_BYTES, 4):
        part = content[start : start + _TELLING_BYTES]
        if part.count(0) < _TELLING_BYTES // 3:
            return part
    raise AssertionError("a vector of zeros tells nothing")


def files_with(patterns: Mapping[str, Sequence[bytes]], directories: Sequence[Path]) -> dict[str, list[str]]:
    """The files that hold any of a name's patterns, by name; those without a hit are left out."""
    found: dict[str, list[str]] = {}
    for path in _files(directories):
        with path.open("rb") as file:
            content: mmap.mmap | bytes = (
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
            )
            for name, of_it in patterns.items():
                if any(content.find(one) >= 0 for one in of_it):
                    found.setdefault(name, []).append(str(path))
    return found


def _files(directories: Sequence[Path]) -> Iterator[Path]:
    for directory in directories:
        yield from (path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink())
