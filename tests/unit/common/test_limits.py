"""What a small file may cost: pixels, tiles, scans and metadata are limited before they are allocated or decoded."""

import resource
import struct
import zlib
from collections.abc import Callable, Iterator

import pytest
from PIL import Image

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
from tests.support.odd_jpegs import ARITHMETIC, TWELVE_BITS, with_scans, with_segment, with_sequential_scans
from triptych_common.media import DecodedImage, ImageFailure, Resolution, decode_image
from triptych_common.media.limits import MAX_SCANS

MAX_PIXELS = 1_000_000


def decode(content: bytes) -> DecodedImage:
    return decode_image(content, resolution=Resolution(), max_pixels=MAX_PIXELS)


def failure(content: bytes) -> str:
    with pytest.raises(ImageFailure) as caught:
        decode(content)
    assert caught.value.permanent
    return caught.value.code


HUGE: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: jpeg_that_claims(60_000, 60_000),
    "progressive jpeg": lambda: jpeg_that_claims(60_000, 60_000, progressive=True),
    "png": lambda: png_that_claims(2**31 - 1, 2**31 - 1),
    "webp, extended": lambda: webp_that_claims(16_384, 16_384, b"VP8X"),
    "webp, lossless": lambda: webp_that_claims(16_384, 16_384, b"VP8L"),
    "webp, lossy": lambda: webp_that_claims(16_383, 16_383, b"VP8 "),
    "gif": lambda: replaced(encode(SMALL, "GIF"), struct.pack("<HH", 48, 32), struct.pack("<HH", 65535, 65535)),
    "bmp": lambda: replaced(encode(SMALL, "BMP"), struct.pack("<ii", 48, 32), struct.pack("<ii", 2**30, 2**30)),
    "ppm": lambda: b"P6 1000000 1000000 255\n" + bytes(1000),
    "tiff": lambda: tiff_that_claims(width=60_000, height=60_000),
    "tiff, one tile": lambda: tiff_that_claims(tile=65_536),
    "jpeg 2000": lambda: jpeg2000_that_claims(60_000, 60_000),
    "heif": lambda: isobmff_that_claims("HEIF", 60_000, 60_000),
    "avif": lambda: isobmff_that_claims("AVIF", 30_000, 30_000),
}


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Lets this process allocate 128 MB more than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - not a file to resolve
        pages = int(statm.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 128 * 2**20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("claim", HUGE)
def test_a_picture_that_claims_to_be_huge_is_refused_before_anything_is_allocated(
    claim: str, little_memory: None
) -> None:
    # Some libraries see that the rest of the file is not what it claims to be, and say so first.
    assert failure(HUGE[claim]()) in (
        {"too_large"} if claim not in ("heif", "avif") else {"too_large", "corrupt", "unsupported_format"}
    )


def test_a_progressive_jpeg_has_as_many_scans_as_encoders_write_and_not_thousands() -> None:
    picture = encode(Image.new("RGB", (800, 600), "gray"), "JPEG", progressive=True)

    assert decode(with_scans(picture, count=10)).pixels.shape == (600, 800, 3)
    assert failure(with_scans(picture, count=MAX_SCANS)) == "too_large"
    assert failure(with_scans(picture, count=100_000)) == "too_large"


def test_a_baseline_jpeg_whose_components_come_in_scans_of_their_own_has_no_thousands_of_them_either() -> None:
    picture = encode(Image.new("RGB", (800, 600), "gray"), "JPEG")

    assert decode(with_sequential_scans(picture, count=MAX_SCANS)).pixels.shape == (600, 800, 3)
    assert failure(with_sequential_scans(picture, count=MAX_SCANS + 1)) == "too_large"
    assert failure(with_sequential_scans(picture, count=100_000)) == "too_large"


def test_what_follows_a_jpeg_is_not_counted_among_its_scans() -> None:
    picture = encode(SMALL, "JPEG", progressive=True)

    # The film of a moving photo holds any bytes.
    assert decode(picture + b"\xff\xda" * 10_000).pixels.shape == (32, 48, 3)
    assert decode(with_segment(picture, 0xE1, b"\xff\xda" * 10_000)).pixels.shape == (32, 48, 3)


def test_pixels_at_the_limit_are_read() -> None:
    assert decode(encode(Image.new("L", (1000, 1000)), "PNG")).pixels.shape == (1000, 1000, 3)
    assert failure(encode(Image.new("L", (1001, 1000)), "PNG")) == "too_large"


@pytest.mark.parametrize(
    ("name", "start"), [(b"zTXt", b"Comment\0\0"), (b"iCCP", b"ICC\0\0"), (b"iTXt", b"C\0\1\0\0\0")]
)
def test_a_png_whose_metadata_unpacks_to_much_more_is_damaged(name: bytes, start: bytes, little_memory: None) -> None:
    bomb = name + start + zlib.compress(bytes(50_000_000), 9)
    chunk = struct.pack(">I", len(bomb) - 4) + bomb + struct.pack(">I", zlib.crc32(bomb))
    content = encode(SMALL, "PNG")

    assert failure(content[:33] + chunk + content[33:]) == "corrupt"


def test_a_tiff_of_many_pictures_is_its_first() -> None:
    others = [Image.new("RGB", (400, 400)) for _ in range(50)]

    assert decode(encode(SMALL, "TIFF", save_all=True, append_images=others)).pixels.shape == (32, 48, 3)


def test_a_tile_larger_than_the_picture_is_read_up_to_the_limit() -> None:
    assert failure(tiff_that_claims(tile=1008)) == "too_large"


def test_arithmetic_coding_is_read_and_twelve_bits_are_refused() -> None:
    pixels = decode(ARITHMETIC).pixels
    assert [pixels[y, x].argmax() for y, x in ((4, 4), (4, 18), (12, 4))] == [0, 1, 2]
    assert failure(TWELVE_BITS) == "unsupported_format"


@pytest.mark.parametrize(
    "segments",
    [
        [(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 65_000)] * 20,
        [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"x" * 65_000)] * 60,
        [(0xE2, b"ICC_PROFILE\0" + bytes((n + 1, 80)) + b"\0" * 65_000) for n in range(80)],
        [(0xE2, b"MPF\0II*\0\x08\0\0\0" + b"\xff" * 1000)],
        [(0xED, b"Photoshop 3.0\x008BIM" + b"\xff" * 65_000)] * 10,
    ],
    ids=["EXIF", "XMP", "ICC", "MPF", "Photoshop"],
)
def test_metadata_of_any_size_and_kind_leaves_a_jpeg_readable(segments: list[tuple[int, bytes]]) -> None:
    content = encode(SMALL, "JPEG", quality=95)
    for marker, segment in segments:
        content = with_segment(content, marker, segment)

    assert decode(content).pixels.shape == (32, 48, 3)
