"""TIFFs written entry by entry, so that any of them can say anything."""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, FLOAT, DOUBLE = 1, 2, 3, 4, 5, 7, 11, 12
_PIXELS: Final = bytes(range(64))


class Entry(NamedTuple):
    """One entry of a directory."""

    tag: int
    kind: int
    number: int
    """Of its values."""
    value: int | bytes
    """What stands in its last four bytes; or bytes, which are laid behind the directory."""


HEADER: Final = struct.pack("<2sHI", b"II", 42, 8)
"""Of a little-endian TIFF whose first directory comes right after it."""


def tiff(entries: Sequence[Entry], *, pixels: bytes = _PIXELS, following: int = 0) -> bytes:
    """A TIFF of one directory, and one strip where there are pixels."""
    if pixels:
        entries = [*entries, Entry(273, LONG, 1, 0), Entry(279, LONG, 1, len(pixels))]
    return HEADER + directory(entries, at=len(HEADER), following=following, pixels=pixels)


def directory(entries: Sequence[Entry], *, at: int, following: int = 0, pixels: bytes = b"") -> bytes:
    """A directory that lies at a place of its file, with its values and then the pixels behind it."""
    beyond = at + 2 + 12 * len(entries) + 4
    strip_at = beyond + sum(len(entry.value) for entry in entries if isinstance(entry.value, bytes))
    written, values = struct.pack("<H", len(entries)), b""
    for entry in sorted(entries, key=lambda entry: entry.tag):
        value = entry.value
        if isinstance(value, bytes):
            place = beyond + len(values)
            values += value
            value = place
        elif entry.tag == 273:
            value = strip_at
        written += struct.pack("<HHII", entry.tag, entry.kind, entry.number, value)
    return written + struct.pack("<I", following) + values + pixels
