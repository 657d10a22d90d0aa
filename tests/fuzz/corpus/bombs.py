"""Small files that claim, or unpack to, very much: pixels, frames, scans, metadata, parts."""

import io
import struct
import zlib
from collections.abc import Iterator
from random import Random
from typing import Final

from PIL import Image

from tests.fuzz.corpus.hostile import CORRUPT, EMBEDDED, REFUSED, TOO_LARGE, Hostile, hostile
from tests.fuzz.corpus.tiffs import ASCII, BYTE, LONG, SHORT, UNDEFINED, Entry, tiff
from tests.support.claiming_pictures import (
    SMALL,
    encode,
    isobmff_that_claims,
    jpeg2000_that_claims,
    jpeg_that_claims,
    png_that_claims,
    replaced,
    tiff_that_claims,
    webp_that_claims,
)
from tests.support.odd_jpegs import with_scans, with_segment, with_sequential_scans

_SIDES: Final = ((60_000, 60_000), (65_535, 65_535), (1, 65_535), (65_535, 1), (30_000, 8_000), (16_383, 16_383))
_MANY: Final = 20_000
_UNPACKED: Final = 50_000_000


def bombs(random: Random) -> Iterator[Hostile]:
    """All of them."""
    yield from _of_dimensions()
    yield from _of_tiles_and_strips()
    yield from _of_frames()
    yield from _of_scans()
    yield from _of_packed_bytes()
    yield from _of_many_parts()


def _of_dimensions() -> Iterator[Hostile]:
    """Headers that claim more pixels than the file has; of a strip of one pixel's width there are not too many."""
    for width, height in _SIDES:
        size = f"{width}x{height}"
        ends = REFUSED if min(width, height) == 1 else (TOO_LARGE, *REFUSED)
        yield hostile(f"{size}.jpg", jpeg_that_claims(width, height), *ends)
        yield hostile(f"{size}-progressive.jpg", jpeg_that_claims(width, height, progressive=True), *ends, EMBEDDED)
        yield hostile(f"{size}.png", png_that_claims(width, height), *ends)
        yield hostile(f"{size}.tif", tiff_that_claims(width=width, height=height), *ends)
        yield hostile(f"{size}.jp2", jpeg2000_that_claims(width, height), *ends, EMBEDDED)
        yield hostile(f"{size}.heic", isobmff_that_claims("HEIF", width, height), *ends, EMBEDDED)
        yield hostile(f"{size}.avif", isobmff_that_claims("AVIF", width, height), *ends, EMBEDDED)
        claimed = struct.pack("<HH", width, height)
        yield hostile(
            f"{size}.gif", replaced(encode(SMALL, "GIF"), struct.pack("<HH", 48, 32), claimed), *ends, EMBEDDED
        )
        claimed = struct.pack("<ii", width, height)
        yield hostile(f"{size}.bmp", replaced(encode(SMALL, "BMP"), struct.pack("<ii", 48, 32), claimed), *ends)
        yield hostile(f"{size}.ppm", b"P6 %d %d 255\n" % (width, height) + bytes(1000), *ends)
        if max(width, height) <= 16_384:
            for chunk in (b"VP8X", b"VP8L", b"VP8 "):
                picture = webp_that_claims(min(width, 16_383), min(height, 16_383), chunk)
                yield hostile(f"{size}-{chunk.decode().strip()}.webp", picture, *ends)
    for number in (0, 2**31 - 1, 2**31, 2**32 - 1):
        yield hostile(f"{number}-square.png", png_that_claims(number, number), TOO_LARGE, *REFUSED)
        yield hostile(f"{number}-square.tif", tiff_that_claims(width=number, height=number), TOO_LARGE, *REFUSED)
        signed = struct.unpack("<i", struct.pack("<I", number))[0]
        claimed = struct.pack("<ii", signed, signed)
        content = replaced(encode(SMALL, "BMP"), struct.pack("<ii", 48, 32), claimed)
        yield hostile(f"{number}-square.bmp", content, TOO_LARGE, *REFUSED)


def _of_tiles_and_strips() -> Iterator[Hostile]:
    for side in (1008, 65_536, 2**31 - 16):
        yield hostile(f"tile-of-{side}.tif", tiff_that_claims(tile=side), EMBEDDED, TOO_LARGE, *REFUSED)
    # A directory whose every entry has the whole file for its value.
    for kind, called in ((BYTE, "bytes"), (ASCII, "letters"), (SHORT, "shorts"), (UNDEFINED, "anything")):
        entries = [Entry(tag, kind, 400_000 // (2 if kind == SHORT else 1), 8) for tag in range(1000, 6000)]
        size = [Entry(256, SHORT, 1, 8), Entry(257, SHORT, 1, 8), Entry(262, SHORT, 1, 1), Entry(258, SHORT, 1, 8)]
        content = tiff([*size, *entries], pixels=bytes(400_000))
        yield hostile(f"five-thousand-times-{called}.tif", content, EMBEDDED, *REFUSED)
    for tag, called in ((258, "depths"), (273, "strips"), (338, "extra-samples"), (347, "tables"), (700, "packet")):
        entries = [Entry(256, SHORT, 1, 8), Entry(257, SHORT, 1, 8), Entry(262, SHORT, 1, 1)]
        content = tiff([*entries, Entry(tag, LONG, 2**30, 8)], pixels=b"")
        yield hostile(f"2-to-the-30-{called}.tif", content, *REFUSED)
    content = tiff([Entry(256, SHORT, 1, 8), Entry(257, SHORT, 1, 8), Entry(277, SHORT, 1, 65_535)])
    yield hostile("65535-samples.tif", content, *REFUSED)


def _of_frames() -> Iterator[Hostile]:
    """Only the first picture counts, however many there are."""
    frames = [Image.new("L", (32, 32), number % 256) for number in range(500)]
    animation = {"save_all": True, "append_images": frames, "duration": 20}
    first = Image.new("L", (32, 32), 7)
    for kind, extension in (("GIF", "gif"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")):
        yield hostile(f"500-frames.{extension}", encode(first, kind, **animation), EMBEDDED)
    animated = encode(SMALL, "PNG", save_all=True, append_images=[SMALL.rotate(90)], duration=20)
    at = animated.index(b"acTL")
    for number in (0, 2**31 - 1, 2**32 - 1):
        lying = struct.pack(">4sII", b"acTL", number, 0)
        content = animated[:at] + lying + struct.pack(">I", zlib.crc32(lying)) + animated[at + 16 :]
        yield hostile(f"{number}-frames-said.png", content, EMBEDDED, *REFUSED)
    # A frame that lies far outside of the canvas.
    content = encode(SMALL, "GIF")
    at = content.index(b",\0\0\0\0")
    for left, width in ((60_000, 48), (0, 65_535)):
        place = struct.pack("<BHHHH", 0x2C, left, left, width, width)
        yield hostile(f"frame-at-{left}-of-{width}.gif", content[:at] + place + content[at + 9 :], TOO_LARGE, *REFUSED)


def _of_scans() -> Iterator[Hostile]:
    """A scan of a few bytes stands for a pass over the whole picture."""
    grey = Image.new("RGB", (4000, 3000), "gray")
    progressive, baseline = encode(grey, "JPEG", progressive=True), encode(grey, "JPEG")
    for count in (101, 20_000):
        yield hostile(f"{count}-scans.jpg", with_scans(progressive, count=count), TOO_LARGE)
        yield hostile(f"{count}-scans-of-a-baseline.jpg", with_sequential_scans(baseline, count=count), TOO_LARGE)


def _of_packed_bytes() -> Iterator[Hostile]:
    packed = zlib.compress(bytes(_UNPACKED), 9)
    for name, start in ((b"zTXt", b"Comment\0\0"), (b"iCCP", b"ICC\0\0"), (b"iTXt", b"C\0\1\0\0\0")):
        content = with_chunk(encode(SMALL, "PNG"), name, start + packed)
        yield hostile(f"{name.decode()}-of-50-megabytes.png", content, CORRUPT)
        content = encode(SMALL, "PNG")
        for _ in range(80):
            content = with_chunk(content, name, start + zlib.compress(bytes(1_000_000), 9))
        yield hostile(f"80-times-{name.decode()}.png", content, EMBEDDED, CORRUPT)
    # More rows than the picture has.
    content = png_that_claims(48, 32)
    begin = content.index(b"IDAT") - 4
    data = zlib.compress(bytes(_UNPACKED), 9)
    content = content[:begin] + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    yield hostile("rows-of-50-megabytes.png", content, EMBEDDED, CORRUPT)
    # As much as is allowed, all of one colour.
    flat = io.BytesIO()
    Image.new("1", (4896, 4896)).save(flat, "PNG")
    yield hostile("as-large-as-may-be.png", flat.getvalue(), EMBEDDED)
    entries = [Entry(256, LONG, 1, 4000), Entry(257, LONG, 1, 4000), Entry(258, SHORT, 1, 8), Entry(259, SHORT, 1, 8)]
    entries += [Entry(262, SHORT, 1, 1), Entry(277, SHORT, 1, 1), Entry(278, LONG, 1, 2**32 - 1)]
    yield hostile("strip-of-50-megabytes.tif", tiff(entries, pixels=packed), EMBEDDED, *REFUSED)


def _of_many_parts() -> Iterator[Hostile]:
    """Very many parts, each of which is little."""
    jpeg, png = encode(SMALL, "JPEG"), encode(SMALL, "PNG")
    for marker, called in ((0xE0, "application"), (0xFE, "comment"), (0xDB, "table")):
        segments = struct.pack(">BBH", 0xFF, marker, 2) * _MANY
        yield hostile(f"{_MANY}-{called}-segments.jpg", jpeg[:2] + segments + jpeg[2:], EMBEDDED, *REFUSED)
    exif = struct.pack(">BBH", 0xFF, 0xE1, 8) + b"Exif\0\0"
    yield hostile(f"{_MANY}-exif-segments.jpg", jpeg[:2] + exif * _MANY + jpeg[2:], EMBEDDED)
    for name in (b"tEXt", b"prVt", b"IDAT", b"eXIf"):
        content = png[:33] + chunk(name, b"") * _MANY + png[33:]
        yield hostile(f"{_MANY}-{name.decode()}-chunks.png", content, EMBEDDED, *REFUSED)
    gif = encode(SMALL.convert("P"), "GIF")
    at = gif.index(b",\0\0\0\0")
    for label, called in ((0xFE, "comments"), (0xF9, "controls"), (0xFF, "applications")):
        blocks = bytes((0x21, label, 4)) + b"abcd\0"
        yield hostile(f"{_MANY}-{called}.gif", gif[:at] + blocks * _MANY + gif[at:], EMBEDDED, *REFUSED)
    webp = encode(SMALL, "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    content = webp + (b"EXIF" + struct.pack("<I", 4) + b"abcd") * _MANY
    content = content[:4] + struct.pack("<I", len(content) - 8) + content[8:]
    yield hostile(f"{_MANY}-chunks.webp", content, EMBEDDED, *REFUSED)
    yield hostile("comments.ppm", b"P6 " + b"#" * 200_000 + b"\n48 32 255\n" + bytes(48 * 32 * 3), EMBEDDED, *REFUSED)
    yield hostile("zeros.ppm", b"P6 " + b"0" * 1_000_000 + b"48 32 255\n" + bytes(48 * 32 * 3), EMBEDDED, *REFUSED)
    yield hostile("plain.ppm", b"P3 200 200 255\n" + b"1 " * 120_000, EMBEDDED)
    segments = with_segment(
        jpeg, 0xE1, b"Exif\0\0" + tiff([Entry(t, BYTE, 30_000, 8) for t in range(2500)], pixels=b"")
    )
    yield hostile("exif-that-is-2500-times-itself.jpg", segments, EMBEDDED)


def with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    return png[:33] + chunk(name, content) + png[33:]


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
