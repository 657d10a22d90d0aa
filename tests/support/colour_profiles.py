"""ICC profiles made by hand (ICC.1:2022, version 4 of the format): three colorants and a gamma, or a grey gamma."""

import struct
from collections.abc import Sequence

import numpy as np

_D50 = (0.9642, 1.0, 0.8249)
# Colorants (columns: red, green, blue as XYZ), adapted to D50, of Apple's Display P3 and Adobe's RGB (1998).
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def _number(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_number(value) for value in values)


def _gamma(exponent: float) -> bytes:
    return b"para\0\0\0\0\0\0\0\0" + _number(exponent)


def _srgb_curve() -> bytes:
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0\0\3\0\0" + b"".join(_number(value) for value in numbers)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _text("by hand"), b"cprt": _text("none"), b"wtpt": _xyz(_D50)} | tags
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += padded
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s12s4s", size, b"\0\0\0\0", 0x04300000, b"mntr", space, b"XYZ ", bytes(12), b"acsp")
    header += bytes(28) + b"".join(_number(value) for value in _D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def make_rgb_profile(colorants: Sequence[Sequence[float]], *, gamma: float | None = None) -> bytes:
    """A profile of a display with these colorants, and this gamma or else sRGB's curve."""
    curve = _srgb_curve() if gamma is None else _gamma(gamma)
    names = (b"r", b"g", b"b")
    tags = {name + b"XYZ": _xyz(xyz) for name, xyz in zip(names, colorants, strict=True)}
    return _profile(b"RGB ", tags | {name + b"TRC": curve for name in names})


def make_grey_profile(*, gamma: float) -> bytes:
    """A profile of a grey scale with this gamma."""
    return _profile(b"GRAY", {b"kTRC": _gamma(gamma)})


def make_press_profile() -> bytes:
    """A profile of a press whose black is only half black: CMYK to Lab by a table of two points an axis."""
    corners = np.array(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), dtype=np.float64).reshape(4, 16).T
    rows = b""
    for cyan, magenta, yellow, black in corners:
        lightness = 1 - 0.5 * black - 0.15 * (cyan + magenta + yellow)
        a = 0.5 + 0.2 * (magenta - cyan) * (1 - black / 2)
        b = 0.5 + 0.2 * (yellow - (cyan + magenta) / 2) * (1 - black / 2)
        rows += struct.pack(">3H", *(round(65280 * value) for value in (lightness, a, b)))
    identity = struct.pack(">2H", 0, 65535)
    unit_matrix = b"".join(_number(value) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    table = b"mft2\0\0\0\0" + bytes((4, 3, 2, 0)) + unit_matrix + struct.pack(">HH", 2, 2)
    table += identity * 4 + rows + identity * 3
    profile = bytearray(_profile(b"CMYK", {b"A2B0": table, b"A2B1": table}))
    profile[8:12], profile[12:16], profile[20:24] = struct.pack(">I", 0x02400000), b"prtr", b"Lab "
    return bytes(profile)
