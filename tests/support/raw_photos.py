"""A small camera raw file: a DNG (Adobe's specification 1.6) with a Bayer mosaic, with or without a JPEG preview."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SIGNED_RATIONAL = 1, 2, 3, 4, 5, 10
_SIZES = {_BYTE: 1, _ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, _SIGNED_RATIONAL: 8}
_FORMATS = {_BYTE: "B", _ASCII: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "I", _SIGNED_RATIONAL: "i"}


@dataclass(frozen=True)
class _Tag:
    number: int
    kind: int
    values: Sequence[int]

    @property
    def count(self) -> int:
        return len(self.values) // (2 if self.kind in (_RATIONAL, _SIGNED_RATIONAL) else 1)

    @property
    def content(self) -> bytes:
        return struct.pack(f"<{len(self.values)}{_FORMATS[self.kind]}", *self.values)


def make_dng(
    *,
    preview: bytes | None,
    preview_size: tuple[int, int] = (0, 0),
    size: tuple[int, int] = (64, 48),
    orientation: int = 1,
    taken_at: bytes = b"2026:01:12 10:00:00",
) -> bytes:
    """The file. ``size`` is that of the mosaic, both sides even; ``orientation`` is EXIF's."""
    width, height = size
    mosaic = struct.pack(
        f"<{width * height}H", *((x * 60 + y * 10) % 4096 for y in range(height) for x in range(width))
    )
    camera = [
        _Tag(274, _SHORT, [orientation]),
        _Tag(271, _ASCII, b"Triptych\0"),
        _Tag(272, _ASCII, b"Test\0"),
        _Tag(306, _ASCII, taken_at + b"\0"),
        _Tag(50706, _BYTE, [1, 4, 0, 0]),
        _Tag(50707, _BYTE, [1, 1, 0, 0]),
        _Tag(50708, _ASCII, b"Triptych Test\0"),
        # XYZ to camera: the identity, so that any colours come out.
        _Tag(50721, _SIGNED_RATIONAL, [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]),
        _Tag(50728, _RATIONAL, [1, 1, 1, 1, 1, 1]),
        _Tag(50778, _SHORT, [21]),
    ]
    raw = [
        _Tag(254, _LONG, [0]),
        _Tag(256, _LONG, [width]),
        _Tag(257, _LONG, [height]),
        _Tag(258, _SHORT, [16]),
        _Tag(259, _SHORT, [1]),
        _Tag(262, _SHORT, [32803]),
        _Tag(277, _SHORT, [1]),
        _Tag(278, _LONG, [height]),
        _Tag(33421, _SHORT, [2, 2]),
        _Tag(33422, _BYTE, [0, 1, 1, 2]),
        _Tag(50714, _SHORT, [0]),
        _Tag(50717, _LONG, [4095]),
    ]
    if preview is None:
        return _file([*camera, *raw], mosaic)
    shown = [
        _Tag(254, _LONG, [1]),
        _Tag(256, _LONG, [preview_size[0]]),
        _Tag(257, _LONG, [preview_size[1]]),
        _Tag(258, _SHORT, [8, 8, 8]),
        _Tag(259, _SHORT, [7]),
        _Tag(262, _SHORT, [6]),
        _Tag(277, _SHORT, [3]),
        _Tag(278, _LONG, [preview_size[1]]),
    ]
    return _file([*camera, *shown], preview, below=(raw, mosaic))


def _file(tags: list[_Tag], strip: bytes, *, below: tuple[list[_Tag], bytes] | None = None) -> bytes:
    """A TIFF of one directory with one strip, and perhaps another directory below it."""
    head = struct.pack("<2sHI", b"II", 42, 8)
    if below is None:
        return head + _directory(tags, strip, at=8)
    second = 8 + len(_directory([*tags, _Tag(330, _LONG, [0])], strip, at=8))
    return head + _directory([*tags, _Tag(330, _LONG, [second])], strip, at=8) + _directory(*below, at=second)


def _directory(tags: list[_Tag], strip: bytes, *, at: int) -> bytes:
    entries = sorted([*tags, _Tag(273, _LONG, [0]), _Tag(279, _LONG, [len(strip)])], key=lambda tag: tag.number)
    beyond = at + 2 + 12 * len(entries) + 4
    strip_at = beyond + sum(len(tag.content) + len(tag.content) % 2 for tag in entries if len(tag.content) > 4)
    written, values = struct.pack("<H", len(entries)), b""
    for tag in entries:
        content = struct.pack("<I", strip_at) if tag.number == 273 else tag.content
        written += struct.pack("<HHI", tag.number, tag.kind, tag.count)
        if len(content) <= 4:
            written += content.ljust(4, b"\0")
        else:
            written += struct.pack("<I", beyond + len(values))
            values += content + b"\0" * (len(content) % 2)
    return written + struct.pack("<I", 0) + values + strip + b"\0" * (len(strip) % 2)
