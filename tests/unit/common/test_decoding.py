"""Decoding: every kind of picture comes out upright and RGB, and every kind of damage as its own failure."""

import hashlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from triptych_common.media import DecodedImage, ImageFailure, Resolution, decode_image

_FULL = Resolution()
_MAX_PIXELS = 1_000_000


def _decode(content: bytes, resolution: Resolution = _FULL) -> DecodedImage:
    return decode_image(content, resolution=resolution, max_pixels=_MAX_PIXELS)


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _quadrants() -> Image.Image:
    """60 × 40: red and green above, blue and white below."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:] = (255, 0, 0), (0, 255, 0)
    pixels[20:, :30], pixels[20:, 30:] = (0, 0, 255), (255, 255, 255)
    return Image.fromarray(pixels)


def _colours(pixels: NDArray[np.uint8]) -> list[str]:
    """Names of the four quadrants' colours: above left, above right, below left, below right."""
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white", (0, 0, 0): "black"}
    height, width = pixels.shape[:2]
    found = []
    for row, column in ((1, 1), (1, 3), (3, 1), (3, 3)):
        red, green, blue = (int(value) // 128 for value in pixels[row * height // 4, column * width // 4])
        found.append(names[red, green, blue])
    return found


_UPRIGHT = ["red", "green", "blue", "white"]
_TURN_THAT_THE_TAG_UNDOES = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_come_out_upright_whatever_their_orientation(orientation: int, kind: str) -> None:
    stored, turn = _quadrants(), _TURN_THAT_THE_TAG_UNDOES[orientation]
    if turn is not None:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    decoded = _decode(_encode(stored, kind, exif=exif))
    assert _colours(decoded.pixels) == _UPRIGHT
    assert decoded.pixels.shape == (40, 60, 3)
    assert (decoded.facts.width, decoded.facts.height) == (60, 40)


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert _colours(_decode(_encode(_quadrants(), "JPEG", exif=exif)).pixels) == _UPRIGHT


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_is_turned_once(orientation: int) -> None:
    stored, turn = _quadrants(), _TURN_THAT_THE_TAG_UNDOES[orientation]
    if turn is not None:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    decoded = _decode(_encode(stored, "HEIF", quality=95, exif=exif.tobytes()))
    assert _colours(decoded.pixels) == _UPRIGHT
    assert (decoded.facts.format, decoded.facts.width, decoded.facts.height) == ("HEIF", 60, 40)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "JPEG"),
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("RGB", "BMP"),
        ("P", "PNG"),
        ("P", "GIF"),
        ("RGBA", "PNG"),
        ("RGB", "WEBP"),
        ("RGB", "AVIF"),
        ("RGB", "JPEG2000"),
        ("RGB", "PPM"),
    ],
)
def test_every_mode_and_format_comes_out_as_rgb(mode: str, kind: str) -> None:
    decoded = _decode(_encode(_quadrants().convert(mode), kind))
    assert _colours(decoded.pixels) == _UPRIGHT
    assert decoded.pixels.dtype == np.uint8
    assert decoded.facts.format == kind


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    grey = np.tile(np.linspace(0, 65535, 60).astype(np.uint16), (40, 1))
    decoded = _decode(_encode(Image.fromarray(grey), kind))
    assert np.abs(decoded.pixels[0, :, 0].astype(int) - grey[0] // 256).max() <= 1


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert (_decode(_encode(clear, "PNG")).pixels == 255).all()
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0])
    assert (_decode(_encode(palette, "PNG", transparency=0)).pixels == 255).all()


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_an_animation_is_its_first_picture(kind: str) -> None:
    others = [Image.new("RGB", (60, 40), colour) for colour in ("black", "gray")]
    content = _encode(_quadrants(), kind, save_all=True, append_images=others, duration=100)
    assert _colours(_decode(content).pixels) == _UPRIGHT


def test_a_multi_picture_file_is_its_first_picture() -> None:
    content = _encode(_quadrants(), "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40), "black")])
    assert _colours(_decode(content).pixels) == _UPRIGHT


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        (Resolution(shortest_side_pixels=100), (100, 150, 3)),
        (Resolution(longest_side_pixels=60), (40, 60, 3)),
        (Resolution(shortest_side_pixels=900), (400, 600, 3)),
    ],
)
def test_pictures_are_shrunk_as_asked_and_never_enlarged(resolution: Resolution, expected: tuple[int, ...]) -> None:
    decoded = _decode(_encode(_quadrants().resize((600, 400)), "JPEG"), resolution)
    assert decoded.pixels.shape == expected
    assert (decoded.facts.width, decoded.facts.height) == (600, 400)
    assert _colours(decoded.pixels) == _UPRIGHT


def test_a_very_long_picture_keeps_a_pixel_of_its_short_side() -> None:
    decoded = _decode(_encode(Image.new("RGB", (5000, 1)), "PNG"), Resolution(longest_side_pixels=100))
    assert decoded.pixels.shape == (1, 100, 3)


def test_facts_tell_digest_size_format_and_when_the_photo_was_taken() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:01 12:30:00"
    content = _encode(_quadrants(), "JPEG", exif=exif)
    facts = _decode(content).facts
    assert facts.content_sha256 == hashlib.sha256(content).digest()
    assert (facts.size_bytes, facts.format, facts.taken_at) == (len(content), "JPEG", "2024-05-01T12:30:00")


@pytest.mark.parametrize(
    "value",
    [
        *("", "0000", "yesterday", "2024:05:01", "    :  :     :  :  "),
        *("0000:00:00 00:00:00", "9999:99:99 99:99:99", "2023:02:29 10:00:00", "-001:01:01 00:00:00"),
        b"2024:05:01 10:00:0\xb2",
    ],
)
def test_a_malformed_date_is_no_date(value: str | bytes) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = value
    assert _decode(_encode(_quadrants(), "JPEG", exif=exif)).facts.taken_at == ""


def _png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 100) + b"IDAT" + b"\0" * 104


_NOISE = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"just some text, whatever the name says\n" * 20, "unsupported_format"),
        (b"%PDF-1.7\n" + b"\0" * 200, "unsupported_format"),
        (b"\0" * 1000, "unsupported_format"),
        (_encode(Image.fromarray(_NOISE), "JPEG")[:5000], "corrupt"),
        (_encode(Image.fromarray(_NOISE), "PNG")[:5000], "corrupt"),
        (_encode(Image.fromarray(_NOISE), "WEBP")[:3000], "corrupt"),
        (_png_header(50_000, 50_000), "too_large"),
    ],
    ids=["empty", "text", "pdf", "zeros", "cut jpeg", "cut png", "cut webp", "huge header"],
)
def test_what_is_no_whole_picture_fails_with_its_own_code(content: bytes, code: str) -> None:
    with pytest.raises(ImageFailure) as caught:
        _decode(content)
    assert caught.value.code == code
    assert caught.value.permanent
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF", "JPEG2000", "PPM"])
def test_flipped_bytes_are_a_picture_or_a_failure_and_nothing_else(kind: str) -> None:
    whole = _encode(_quadrants(), kind)
    random = np.random.default_rng(3)
    for _ in range(60):
        damaged = bytearray(whole)
        for position in random.integers(0, len(whole), 4):
            damaged[position] = random.integers(0, 256)
        try:
            assert _decode(bytes(damaged)).pixels.shape[2] == 3
        except ImageFailure as failure:
            assert failure.code in ("corrupt", "unsupported_format", "too_large")
