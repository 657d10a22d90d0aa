"""Metadata that is nonsense, huge or out of range. The picture around it is whole, and is read."""

import io
import struct
from collections.abc import Iterator
from random import Random
from typing import Final

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from tests.fuzz.corpus.bombs import with_chunk
from tests.fuzz.corpus.hostile import EMBEDDED, REFUSED, Hostile, hostile
from tests.fuzz.corpus.tiffs import (
    ASCII,
    DOUBLE,
    FLOAT,
    HEADER,
    LONG,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Entry,
    directory,
    tiff,
)
from tests.support.claiming_pictures import SMALL, encode
from tests.support.odd_jpegs import with_segment

_ORIENTATION, _RESOLUTION, _DATE, _EXIF, _GPS, _TAKEN = 274, 282, 306, 34665, 34853, 36867
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_DATES: Final = (
    b"0000:00:00 00:00:00\0",
    b"9999:99:99 99:99:99\0",
    b"2026:02:30 25:61:61\0",
    b"2026:01:12 10:00:0\xb2\0",
    b"2026:01:12\n10:00:00\0",
    b"    :  :     :  :  \0",
    b"-001:01:01 00:00:00\0",
    b"2026:01:12 10:00:00" + b"0" * 10_000 + b"\0",
    b"\0" * 20,
    b"\xff" * 20,
    b"1' OR '1'='1' -- 999\0",
)


def metadata(random: Random) -> Iterator[Hostile]:
    """All of it."""
    for number, exif in enumerate(_directories(random)):
        segment = b"Exif\0\0" + exif
        yield hostile(f"exif-{number}.jpg", with_segment(encode(SMALL, "JPEG"), 0xE1, segment), EMBEDDED)
        yield hostile(f"exif-{number}.png", with_chunk(encode(SMALL, "PNG"), b"eXIf", exif), EMBEDDED)
        yield hostile(f"exif-{number}.webp", encode(SMALL, "WEBP", exif=segment), EMBEDDED)
    yield from _packets(random)
    yield from _profiles(random)
    yield from _of_a_png(random)
    yield from _values_that_are_none()


def _directories(random: Random) -> Iterator[bytes]:
    for orientation in (0, 9, 255, 65_535):
        yield tiff([Entry(_ORIENTATION, SHORT, 1, orientation)], pixels=b"")
    yield tiff([Entry(_ORIENTATION, ASCII, 4, 0x00383838)], pixels=b"")
    yield tiff([Entry(_ORIENTATION, SHORT, 3000, b"\x06\0" * 3000)], pixels=b"")
    yield tiff([Entry(_ORIENTATION, FLOAT, 1, struct.unpack("<I", struct.pack("<f", float("nan")))[0])], pixels=b"")
    for numerator, denominator in ((0, 0), (1, 0), (2**32 - 1, 1), (1, 2**32 - 1)):
        value = struct.pack("<II", numerator, denominator)
        gps = [Entry(2, RATIONAL, 3, value * 3), Entry(4, RATIONAL, 3, value * 3)]
        yield tiff([Entry(_RESOLUTION, RATIONAL, 1, value), Entry(296, SHORT, 1, 3)], pixels=b"")
        yield _below(_GPS, gps)
    for number in (float("nan"), float("inf"), -float("inf")):
        yield tiff([Entry(_RESOLUTION, DOUBLE, 1, struct.pack("<d", number))], pixels=b"")
    for date in _DATES:
        yield tiff([Entry(_DATE, ASCII, len(date), date)], pixels=b"")
        yield _below(_EXIF, [Entry(_TAKEN, ASCII, len(date), date)])
    yield _below(_EXIF, [Entry(37510, UNDEFINED, 60_000, random.randbytes(60_000))])
    yield _below(_EXIF, [Entry(37500, UNDEFINED, 2**31 - 1, 8)])
    yield tiff([Entry(tag, LONG, 1, 0xFFFFFFFF) for tag in (_EXIF, _GPS, 40965, 330)], pixels=b"")
    yield b"II*\0" + b"\xff" * 40
    yield b"MM\0*" + random.randbytes(60)
    yield b""


def _below(tag: int, entries: list[Entry]) -> bytes:
    """A directory of EXIF or GPS below the first one, which has nothing else."""
    at = len(HEADER) + 2 + 12 + 4
    above = directory([Entry(tag, LONG, 1, at)], at=len(HEADER))
    return HEADER + above + directory(entries, at=at)


def _packets(random: Random) -> Iterator[Hostile]:
    for number, value in enumerate(("NaN", "INF", "-INF", "1e999999", "9" * 5000, "&lol;", "\x00", "8")):
        packet = _XMP + f'<x:xmpmeta><rdf:Description tiff:Orientation="{value}" GPS="{value}"/></x:xmpmeta>'.encode()
        yield hostile(f"packet-{number}.jpg", with_segment(encode(SMALL, "JPEG"), 0xE1, packet), EMBEDDED)
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + place, b"&%c;" % (97 + place) * 10) for place in range(9)
    )
    packet = _XMP + entities + b"]><x>&j;</x>"
    yield hostile("entities.jpg", with_segment(encode(SMALL, "JPEG"), 0xE1, packet), EMBEDDED)
    content = encode(SMALL, "JPEG")
    for segment in range(60):
        content = with_segment(content, 0xE1, b"http://ns.adobe.com/xmp/extension/\0" + random.randbytes(60_000))
        content = with_segment(content, 0xED, b"Photoshop 3.0\x008BIM" + bytes([segment]) * 60_000)
    yield hostile("seven-megabytes-of-packets.jpg", content, EMBEDDED)


def _profiles(random: Random) -> Iterator[Hostile]:
    whole = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profiles = [whole[:200], whole[:128] + b"\xff" * 4 + whole[132:], whole + bytes(4_000_000), b"\0" * 500]
    for _ in range(8):
        turned = bytearray(whole)
        for _ in range(12):
            turned[random.randrange(16, len(turned))] = random.randrange(256)
        profiles.append(bytes(turned))
    for number, profile in enumerate(profiles):
        yield hostile(f"profile-{number}.jpg", _with_profile(encode(SMALL, "JPEG"), profile), EMBEDDED)
        yield hostile(f"profile-{number}.tif", encode(SMALL, "TIFF", icc_profile=profile), EMBEDDED)
        yield hostile(f"profile-{number}.webp", encode(SMALL, "WEBP", icc_profile=profile), EMBEDDED)
    for number, (first, last) in enumerate(((0, 0), (5, 3), (255, 1), (1, 255))):
        segment = b"ICC_PROFILE\0" + bytes((first, last)) + whole
        yield hostile(f"profile-part-{number}.jpg", with_segment(encode(SMALL, "JPEG"), 0xE2, segment), EMBEDDED)


def _with_profile(jpeg: bytes, profile: bytes) -> bytes:
    parts = [profile[at : at + 65_000] for at in range(0, len(profile), 65_000)]
    for number, part in reversed(list(enumerate(parts, 1))):
        jpeg = with_segment(jpeg, 0xE2, b"ICC_PROFILE\0" + bytes((number, len(parts))) + part)
    return jpeg


def _of_a_png(random: Random) -> Iterator[Hostile]:
    png, palette = encode(SMALL, "PNG"), encode(SMALL.convert("P"), "PNG")
    values = {
        b"pHYs": (struct.pack(">IIB", 0, 0, 1), struct.pack(">IIB", 2**32 - 1, 1, 7)),
        b"gAMA": (bytes(4), b"\xff" * 4),
        b"cHRM": (bytes(32), b"\xff" * 32),
        b"tRNS": (b"", b"\xff" * 6, b"\xff" * 600),
        b"bKGD": (b"\xff" * 6,),
        b"sBIT": (b"\xff" * 4,),
        b"tIME": (b"\xff" * 7,),
        b"iCCP": (b"name without end", b"n\0\x09x", b"n\0\0" + random.randbytes(90)),
        b"tEXt": (b"\0" * 90, b"key" + b"\xff" * 90),
        b"zTXt": (b"key\0\x07x", b"key\0\0" + random.randbytes(90)),
        b"iTXt": (b"key\0\1\0\xff\0\xff\0x", b"key\0\1\7\0\0x"),
        b"eXIf": (b"Exif\0\0", b"II"),
    }
    for name, contents in values.items():
        for number, content in enumerate(contents):
            called = f"{name.decode()}-{number}"
            yield hostile(f"{called}.png", with_chunk(png, name, content), EMBEDDED, *REFUSED)
            yield hostile(f"{called}-of-a-palette.png", with_chunk(palette, name, content), EMBEDDED, *REFUSED)
    text = PngImagePlugin.PngInfo()
    for number in range(3000):
        text.add_text(f"key {number}", "\N{FACE WITH TEARS OF JOY}\u202e" * 20)
    yield hostile("texts.png", encode(SMALL, "PNG", pnginfo=text), EMBEDDED)


def _values_that_are_none() -> Iterator[Hostile]:
    """Pictures of floating-point numbers some of which are no numbers."""
    for called, value in (("nan", np.nan), ("inf", np.inf), ("minus-inf", -np.inf), ("largest", 3e38)):
        pixels = np.full((32, 48), 0.5, np.float32)
        pixels[::3] = value
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "TIFF")
        yield hostile(f"{called}.tif", content.getvalue(), EMBEDDED)
        yield hostile(f"{called}.ppm", b"Pf\n48 32\n-1.0\n" + pixels.tobytes(), EMBEDDED)
        yield hostile(f"scale-of-{called}.ppm", f"Pf\n48 32\n{value}\n".encode() + pixels.tobytes(), EMBEDDED, *REFUSED)
