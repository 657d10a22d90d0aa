"""Pictures that are whole and unlike any camera's: other sizes, depths, channels and ways of packing. All are read."""

import struct
from collections.abc import Iterator
from random import Random

import numpy as np
from PIL import Image

from tests.fuzz.corpus.bombs import chunk
from tests.fuzz.corpus.hostile import EMBEDDED, REFUSED, UNSUPPORTED, Hostile, hostile
from tests.support.claiming_pictures import SMALL, encode
from tests.support.odd_jpegs import ARITHMETIC, TWELVE_BITS
from tests.support.raw_photos import make_dng


def oddities(random: Random) -> Iterator[Hostile]:
    """All of them."""
    yield from _sizes()
    yield from _depths(random)
    yield from _palettes()
    yield hostile("arithmetic.jpg", ARITHMETIC, EMBEDDED)
    yield hostile("twelve-bits.jpg", TWELVE_BITS, UNSUPPORTED)
    for orientation in (0, 2, 5, 9, 65_535):
        yield hostile(f"turned-{orientation}.dng", make_dng(preview=None, orientation=orientation), EMBEDDED)
    yield hostile("huge-preview.dng", make_dng(preview=encode(SMALL, "JPEG"), preview_size=(60_000, 60_000)), EMBEDDED)


def _sizes() -> Iterator[Hostile]:
    for width, height in ((1, 1), (1, 2), (2, 1), (1, 5000), (5000, 1), (3, 4000), (4000, 3)):
        picture = Image.new("RGB", (width, height), (200, 100, 50))
        size = f"{width}x{height}"
        for kind, extension in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif"), ("BMP", "bmp")):
            yield hostile(f"{size}.{extension}", encode(picture, kind), EMBEDDED)
    yield hostile("1x65535.png", encode(Image.new("L", (1, 65_535)), "PNG"), EMBEDDED)
    yield hostile("65535x1.jpg", encode(Image.new("RGB", (65_500, 1)), "JPEG"), EMBEDDED)
    yield hostile("1x1.heic", encode(Image.new("RGB", (1, 1)), "HEIF"), EMBEDDED)
    yield hostile("1x1.avif", encode(Image.new("RGB", (1, 1)), "AVIF"), EMBEDDED)


def _depths(random: Random) -> Iterator[Hostile]:
    grey = np.frombuffer(random.randbytes(32 * 48 * 2), np.uint16).reshape(32, 48)
    for kind, extension in (("PNG", "png"), ("TIFF", "tif"), ("PPM", "ppm"), ("JPEG2000", "jp2")):
        yield hostile(f"sixteen-bits.{extension}", encode(Image.fromarray(grey), kind), EMBEDDED)
    whole = Image.fromarray(grey.astype(np.int32) - 30_000)
    yield hostile("signed.tif", encode(whole, "TIFF"), EMBEDDED)
    for mode in ("1", "L", "LA", "RGBA", "CMYK", "LAB", "F", "P", "YCbCr"):
        picture = Image.merge("LAB", SMALL.split()) if mode == "LAB" else SMALL.convert(mode)
        yield hostile(f"{mode}.tif", encode(picture, "TIFF"), EMBEDDED)
    yield hostile("cmyk.jpg", encode(SMALL.convert("CMYK"), "JPEG"), EMBEDDED)
    clear = SMALL.convert("RGBA")
    clear.putalpha(0)
    for kind, extension in (("PNG", "png"), ("WEBP", "webp"), ("AVIF", "avif"), ("HEIF", "heic"), ("JPEG2000", "jp2")):
        yield hostile(f"clear.{extension}", encode(clear, kind), EMBEDDED)
    for compression in ("tiff_lzw", "packbits", "group4", "jpeg", "zstd", "lzma"):
        picture = SMALL.convert("1") if compression == "group4" else SMALL
        yield hostile(f"{compression}.tif", encode(picture, "TIFF", compression=compression), EMBEDDED, *REFUSED)
    yield hostile("big.tif", encode(SMALL, "TIFF", big_tiff=True), EMBEDDED)


def _palettes() -> Iterator[Hostile]:
    picture = SMALL.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    content = encode(picture, "PNG", bits=2)
    begin, end = content.index(b"PLTE") - 4, content.index(b"IDAT") - 4
    for colours in (0, 1, 2, 300):
        other = chunk(b"PLTE", bytes(3 * colours))
        yield hostile(f"palette-of-{colours}.png", content[:begin] + other + content[end:], EMBEDDED, *REFUSED)
    yield hostile("no-palette.png", content[:begin] + content[end:], EMBEDDED, *REFUSED)
    yield hostile("clear-palette.png", encode(picture, "PNG", transparency=bytes(4)), EMBEDDED)
    gif = encode(picture, "GIF")
    yield hostile(
        "no-palette.gif", gif[:10] + bytes((gif[10] & 0x70,)) + gif[11:13] + gif[13 + 12 :], EMBEDDED, *REFUSED
    )
    for bits in (0, 1, 4, 16, 24, 32, 33):
        bmp = bytearray(encode(SMALL, "BMP"))
        struct.pack_into("<H", bmp, 28, bits)
        yield hostile(f"{bits}-bits.bmp", bytes(bmp), EMBEDDED, *REFUSED)
    for compression in (1, 2, 3, 4, 5, 6, 99):
        bmp = bytearray(encode(SMALL, "BMP"))
        struct.pack_into("<I", bmp, 30, compression)
        yield hostile(f"compression-{compression}.bmp", bytes(bmp), EMBEDDED, *REFUSED)
