"""Small pictures whose headers claim other sizes than they have."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, TiffImagePlugin

pillow_heif.register_heif_opener()

SMALL = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8))
"""48 × 32."""


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def replaced(content: bytes, old: bytes, new: bytes, *, after: bytes = b"") -> bytes:
    at = content.index(old, content.index(after))
    return content[:at] + new + content[at + len(old) :]


def jpeg_that_claims(width: int, height: int, **options: Any) -> bytes:
    claim = struct.pack(">HH", height, width)
    return replaced(encode(SMALL, "JPEG", **options), struct.pack(">HH", 32, 48), claim)


def png_that_claims(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = encode(SMALL, "PNG")
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def webp_that_claims(width: int, height: int, chunk: bytes) -> bytes:
    if chunk == b"VP8X":
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + sides
        picture = encode(SMALL, "WEBP")[12:]
        return b"RIFF" + struct.pack("<I", 4 + len(extended) + len(picture)) + b"WEBP" + extended + picture
    if chunk == b"VP8L":
        content = bytearray(encode(SMALL, "WEBP", lossless=True))
        bits = struct.unpack_from("<I", content, 21)[0] & 0xF0000000
        struct.pack_into("<I", content, 21, bits | (width - 1) | (height - 1) << 14)
        return bytes(content)
    content = bytearray(encode(SMALL, "WEBP"))
    struct.pack_into("<HH", content, 26, width, height)
    return bytes(content)


def tiff_that_claims(**tags: int) -> bytes:
    """A TIFF of 48 × 32 whose tags say otherwise; tiles where a tile's side is given."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    content = bytearray(encode(SMALL, "TIFF", compression="tiff_adobe_deflate", tiffinfo=directory))
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    entries = {}
    for place in range(count):
        tag, kind, number, value = struct.unpack_from("<HHII", content, at + 2 + 12 * place)
        entries[tag] = (kind, number, value)
    if "tile" in tags:
        entries[322] = entries[323] = (4, 1, tags["tile"])
        entries[324], entries[325] = entries.pop(273), entries.pop(279)
        del entries[278]
    else:
        entries[256], entries[257] = (4, 1, tags["width"]), (4, 1, tags["height"])
    table = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    end = len(content)
    struct.pack_into("<I", content, 4, end)
    return bytes(content) + struct.pack("<H", len(entries)) + table + bytes(4)


def jpeg2000_that_claims(width: int, height: int) -> bytes:
    content = encode(SMALL, "JPEG2000", no_jp2=True)
    return replaced(content, struct.pack(">II", 48, 32), struct.pack(">II", width, height))


def isobmff_that_claims(kind: str, width: int, height: int) -> bytes:
    content = encode(SMALL, kind)
    at = content.index(b"ispe") + 8
    return content[:at] + struct.pack(">II", width, height) + content[at + 8 :]
