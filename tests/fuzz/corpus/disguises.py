"""Files that are something else than they are called, or several things at once."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from random import Random

from tests.fuzz.corpus.hostile import EMBEDDED, LEFT_OUT, REFUSED, TOO_LARGE, UNSUPPORTED, Hostile, hostile
from tests.fuzz.corpus.whole import whole_pictures
from tests.support.claiming_pictures import SMALL, encode

_EXTENSIONS = ("jpg", "png", "gif", "webp", "tif", "bmp", "heic", "avif", "cr3", "nef", "raf", "x3f", "jp2", "ppm")


def disguises(random: Random) -> Iterator[Hostile]:
    """All of them."""
    yield from _under_other_extensions(random)
    yield from _no_pictures(random)
    yield from _several_at_once()
    yield from _no_photos_by_name()


def _under_other_extensions(random: Random) -> Iterator[Hostile]:
    """A file is read as what it is, whatever it is called."""
    for name, whole in whole_pictures().items():
        others = [extension for extension in _EXTENSIONS if extension != whole.extension]
        for extension in random.sample(others, 2):
            yield hostile(f"{name}-in-truth.{extension}", whole.content, EMBEDDED)


def _no_pictures(random: Random) -> Iterator[Hostile]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10_000_000))
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w") as archive_of_files:
        archive_of_files.addfile(tarfile.TarInfo("../../etc/passwd"), io.BytesIO())
    vector = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    contents = {
        "zip": packed.getvalue(),
        "tar": tape.getvalue(),
        "gzip": gzip.compress(bytes(10_000_000), mtime=0),
        "svg": vector,
        "page": b"<!doctype html><script>alert(document.cookie)</script>",
        "script": b"#!/bin/sh\nrm -rf /\n",
        "program": b"\x7fELF\x02\x01\x01" + random.randbytes(2000),
        "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n%%EOF",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(%pipe%id) (w) file\n",
        "layers": b"8BPS\0\1" + bytes(100),
        "icon": b"\0\0\1\0\1\0" + bytes(60),
        "film": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2\0\0\0\x08moov",
        "sound": b"ID3\x04\0\0\0\0\0\0" + random.randbytes(500),
        "noise": random.randbytes(5000),
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "lines": b"\n" * 5000,
        "pickle": b"\x80\x04cposix\nsystem\n(S'id'\ntR.",
        "environment": b"AWS_SECRET_ACCESS_KEY=nothing\n",
    }
    for called, content in contents.items():
        for extension in random.sample(_EXTENSIONS, 2):
            yield hostile(f"{called}.{extension}", content, *REFUSED)
    for signature in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"P6", b"\0MRM"):
        called = signature.hex()
        yield hostile(f"{called}-and-noise.jpg", signature + random.randbytes(3000), TOO_LARGE, *REFUSED)
        yield hostile(f"{called}-and-zeros.jpg", signature + bytes(3000), *REFUSED)
        yield hostile(f"{called}-alone.jpg", signature, *REFUSED)
    for brand in (b"heic", b"avif", b"mif1", b"msf1", b"crx ", b"qt  "):
        head = struct.pack(">I4s4sI4s", 20, b"ftyp", brand, 0, brand)
        yield hostile(f"{brand.decode().strip()}-and-noise.heic", head + random.randbytes(3000), *REFUSED)
    for signature in (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb"):
        called = signature.rstrip(b"\0").decode()
        for number, rest in enumerate((b"", bytes(3000), random.randbytes(3000), b"\xff" * 3000)):
            yield hostile(f"{called}-and-noise-{number}.raf", signature + rest, *REFUSED)


def _several_at_once() -> Iterator[Hostile]:
    jpeg, png, gif = (whole_pictures()[name].content for name in ("jpeg", "png", "gif"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside.jpg", jpeg)
    page = b"<script>alert(1)</script>"
    yield hostile("jpeg-and-zip.jpg", jpeg + packed.getvalue(), EMBEDDED)
    yield hostile("zip-and-jpeg.jpg", packed.getvalue() + jpeg, UNSUPPORTED)
    yield hostile("jpeg-and-png.jpg", jpeg + png, EMBEDDED)
    yield hostile("png-and-jpeg.png", png + jpeg, EMBEDDED)
    yield hostile("gif-and-page.gif", gif + page, EMBEDDED)
    yield hostile("page-and-gif.gif", page + gif, UNSUPPORTED)
    yield hostile("script-in-gif.gif", gif[:6] + b"/*" + gif[8:] + b"*/=1;alert(1)", EMBEDDED, *REFUSED)
    yield hostile("thousand-jpegs.jpg", encode(SMALL, "JPEG") * 1000, EMBEDDED)
    yield hostile("thousand-pngs.png", encode(SMALL, "PNG") * 1000, EMBEDDED)
    yield hostile("space-and-jpeg.jpg", b" " + jpeg, UNSUPPORTED)
    yield hostile("jpeg-and-megabytes.jpg", jpeg + bytes(20_000_000), EMBEDDED)
    # A raw file whose preview is a bomb, none, or a picture of another format.
    raw = whole_pictures()["previewed-raw"].content
    at, small = raw.index(b"\xff\xd8\xff"), encode(SMALL, "JPEG")
    for called, preview in (("png", png), ("nothing", bytes(len(small))), ("noise", b"\xff\xd8\xff" + b"\x55" * 500)):
        content = raw[:at] + preview[: len(small)].ljust(len(small), b"\0") + raw[at + len(small) :]
        yield hostile(f"preview-of-{called}.dng", content, EMBEDDED, *REFUSED)


def _no_photos_by_name() -> Iterator[Hostile]:
    """Whole pictures that are not called as photos are."""
    jpeg = whole_pictures()["jpeg"].content
    for name in (
        *(
            "photo.jpg.txt",
            "photo",
            "photo.",
            "photo.jpg~",
            "photo.jpgg",
            "photo.exe",
            "photo.svg",
            "photo.jpg.",
            "jpg",
        ),
        *(
            ".jpg",
            ".hidden.jpg",
            "._photo.jpg",
            "photo.jpg ",
            "photo.jp\u200bg",
            "photo.ј\u0440g",
            "photo.jpg%00",
            "photo.php",
        ),
    ):
        yield hostile(name, jpeg, LEFT_OUT)
