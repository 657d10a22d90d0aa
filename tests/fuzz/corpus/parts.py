"""Where the parts of an encoded picture begin: segments, chunks, boxes, directories and their entries, blocks."""

import struct
from collections.abc import Iterator
from typing import Final

_BOXES_OF_BOXES: Final = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"dinf": 0, b"jp2h": 0, b"iref": 4}
"""Boxes that hold boxes, each with the bytes that come before those (ISO/IEC 14496-12 and 23008-12)."""


def parts_of(content: bytes) -> list[int]:
    """The places, in order, at which a part begins, its length is told, or its content begins."""
    if content.startswith(b"\xff\xd8"):
        found = _segments(content)
    elif content.startswith(b"\x89PNG"):
        found = _chunks(content, first=8, order=">", tail=4)
    elif content.startswith(b"RIFF"):
        found = _chunks(content, first=12, order="<", tail=0)
    elif content.startswith(b"II*\0"):
        found = _directories(content)
    elif content.startswith(b"GIF8"):
        found = _blocks(content)
    elif content[4:8] in (b"ftyp", b"jP  "):
        found = _boxes(content, 0, len(content))
    else:
        found = iter((2, 6, 10, 14, 18, 22, 26, 28, 30, 54))
    return sorted({place for place in found if 0 < place < len(content)})


def _segments(content: bytes) -> Iterator[int]:
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        yield from (at, at + 1, at + 2, at + 4)
        if content[at + 1] == 0xD9:
            return
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        yield (at + end) // 2
        if content[at + 1] == 0xDA:
            # Its entropy-coded bytes last until a marker that is neither a stuffed zero nor a restart.
            end = next(
                place
                for place in range(end, len(content) - 1)
                if content[place] == 0xFF and content[place + 1] != 0 and not 0xD0 <= content[place + 1] <= 0xD7
            )
        at = end


def _chunks(content: bytes, *, first: int, order: str, tail: int) -> Iterator[int]:
    """Of PNG, whose chunks tell their length first and end in a checksum, and of RIFF, which tells it second."""
    at = first
    while at + 8 <= len(content):
        length_at = at if tail else at + 4
        (length,) = struct.unpack_from(f"{order}I", content, length_at)
        yield from (at, at + 4, at + 8, at + 8 + length // 2, at + 8 + length)
        at += 8 + length + (tail or length % 2)


def _directories(content: bytes) -> Iterator[int]:
    waiting, seen = [struct.unpack_from("<I", content, 4)[0]], set[int]()
    yield from (2, 4, 6, 8)
    while waiting:
        at = waiting.pop()
        if at in seen or not 0 < at <= len(content) - 2:
            continue
        seen.add(at)
        (count,) = struct.unpack_from("<H", content, at)
        yield from (at, at + 1, at + 2)
        for place in range(at + 2, at + 2 + 12 * count, 12):
            tag, _, number, value = struct.unpack_from("<HHII", content, place)
            yield from (place, place + 2, place + 4, place + 8)
            if tag in (330, 34665) and number == 1:
                waiting.append(value)
        yield at + 2 + 12 * count
        yield at + 6 + 12 * count


def _blocks(content: bytes) -> Iterator[int]:
    yield from (3, 6, 10, 11, 13)
    at = 13 + (3 << (content[10] & 7) + 1 if content[10] & 0x80 else 0)
    while at < len(content):
        yield at
        if content[at] == 0x21:
            at += 2
        elif content[at] == 0x2C:
            yield from (at + 5, at + 9, at + 10)
            at += 11 + (3 << (content[at + 9] & 7) + 1 if content[at + 9] & 0x80 else 0)
        else:
            return
        while at < len(content) and content[at]:
            yield from (at, at + 1)
            at += 1 + content[at]
        at += 1


def _boxes(content: bytes, begin: int, end: int) -> Iterator[int]:
    at = begin
    while at + 8 <= end:
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        length = length or end - at
        if length < 8:
            return
        yield from (at, at + 4, at + 8, at + (8 + length) // 2, at + length)
        if kind in _BOXES_OF_BOXES:
            yield from _boxes(content, at + 8 + _BOXES_OF_BOXES[kind], at + length)
        at += length
