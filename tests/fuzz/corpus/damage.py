"""Pictures with bits turned, lengths that lie, and parts that lead back to themselves."""

import struct
from collections.abc import Iterator
from random import Random
from typing import Final

from tests.fuzz.corpus.hostile import ANY, EMBEDDED, REFUSED, Hostile, hostile
from tests.fuzz.corpus.parts import parts_of
from tests.fuzz.corpus.tiffs import LONG, SHORT, Entry, tiff
from tests.fuzz.corpus.whole import whole_pictures
from tests.support.claiming_pictures import SMALL, encode
from tests.support.odd_jpegs import with_segment

FLIPPED: Final = 6
"""Pictures with turned bits, of each whole one."""
LYING: Final = 8
"""Pictures with one other length, of each whole one."""
_LENGTHS: Final = (0, 1, 7, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_DEPTH: Final = 5000


def turned_bits(random: Random) -> Iterator[Hostile]:
    """Each whole picture, with one to eight bits turned: half of them in its first bytes, where parts are described."""
    for name, whole in whole_pictures().items():
        for number in range(FLIPPED):
            content = bytearray(whole.content)
            reach = len(content) if number % 2 else min(len(content), 200)
            for _ in range(random.randint(1, 8)):
                content[random.randrange(reach)] ^= 1 << random.randrange(8)
            yield hostile(f"{name}-with-turned-bits-{number}.{whole.extension}", bytes(content), *ANY)


def lying_lengths(random: Random) -> Iterator[Hostile]:
    """Each whole picture, with another number where a part begins or tells its length."""
    for name, whole in whole_pictures().items():
        parts = [place for place in parts_of(whole.content) if place + 4 <= len(whole.content)]
        for number in range(LYING):
            place, length = random.choice(parts), random.choice(_LENGTHS)
            content = bytearray(whole.content)
            order = random.choice("<>")
            content[place : place + 4] = struct.pack(f"{order}I", length)
            yield hostile(f"{name}-that-lies-{number}.{whole.extension}", bytes(content), *ANY)


def cycles(random: Random) -> Iterator[Hostile]:
    """What leads back to itself, or down without end."""
    # The next directory of a directory is itself; two lead to each other; one is its own directory of EXIF and of GPS.
    yield hostile("next-is-itself.tif", tiff(_picture(), following=8), EMBEDDED, *REFUSED)
    yield hostile("next-is-in-itself.tif", tiff(_picture(), following=10), EMBEDDED, *REFUSED)
    for tag, called in ((34665, "exif"), (34853, "gps"), (330, "sub-directory"), (40965, "interoperability")):
        yield hostile(f"own-{called}.tif", tiff([*_picture(), Entry(tag, LONG, 1, 8)]), EMBEDDED, *REFUSED)
        segment = b"Exif\0\0" + tiff([Entry(tag, LONG, 1, 8)], pixels=b"")
        yield hostile(f"own-{called}.jpg", with_segment(encode(SMALL, "JPEG"), 0xE1, segment), EMBEDDED)
    segment = b"MPF\0" + tiff([Entry(0xB000, 7, 4, 0x30303130), Entry(0xB001, LONG, 1, 2**31)], pixels=b"", following=8)
    yield hostile("own-index.mpo", with_segment(encode(SMALL, "JPEG"), 0xE2, segment), EMBEDDED, *REFUSED)
    for kind in ("heic", "avif", "cr3", "jp2"):
        for box in (b"meta", b"moov", b"iprp", b"ipco", b"iref", b"dinf", b"jp2h"):
            yield hostile(f"{box.decode()}-in-{box.decode()}.{kind}", _nested(kind, box), *REFUSED)
    for name in ("heif", "avif"):
        content = whole_pictures()[name].content
        yield hostile(f"{name}-of-itself.{whole_pictures()[name].extension}", _derived_from_itself(content), *ANY)


def _picture() -> list[Entry]:
    """A grey picture of 8 × 8."""
    return [
        *(Entry(256, SHORT, 1, 8), Entry(257, SHORT, 1, 8), Entry(258, SHORT, 1, 8), Entry(259, SHORT, 1, 1)),
        *(Entry(262, SHORT, 1, 1), Entry(277, SHORT, 1, 1), Entry(278, SHORT, 1, 8)),
    ]


def _nested(kind: str, box: bytes) -> bytes:
    """Boxes in boxes, each of which says that it holds all the rest."""
    brand = {"heic": b"heic", "avif": b"avif", "cr3": b"crx ", "jp2": b"jp2 "}[kind]
    head = b"\0\0\0\x14ftyp" + brand + bytes(4) + brand
    if kind == "jp2":
        head = b"\0\0\0\x0cjP  \r\n\x87\n" + head
    full = bytes(4) if box in (b"meta", b"iref") else b""
    step = 8 + len(full)
    return head + b"".join(struct.pack(">I", step * (_DEPTH - depth)) + box + full for depth in range(_DEPTH))


def _derived_from_itself(content: bytes) -> bytes:
    """A picture that is said to be the thumbnail, and made, of itself (item 1 → item 1)."""
    references = b"".join(struct.pack(">I4sHHH", 14, kind, 1, 1, 1) for kind in (b"dimg", b"thmb", b"auxl"))
    box = struct.pack(">I4sI", 12 + len(references), b"iref", 0) + references
    at = content.index(b"meta") - 4
    (length,) = struct.unpack_from(">I", content, at)
    grown = struct.pack(">I", length + len(box))
    # What the boxes say of where the pixels are is then off by the length of the new one, as it may be.
    return content[:at] + grown + content[at + 4 : at + length] + box + content[at + length :]
