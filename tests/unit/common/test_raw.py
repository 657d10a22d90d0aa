"""Camera raw files: their previews, upright; a half-size picture where there is none; limits and damage."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.support.raw_photos import make_dng
from triptych_common.media.decoded import DecodedImage
from triptych_common.media.decoding import decode_image
from triptych_common.media.failures import ImageFailure
from triptych_common.media.formats import PHOTO_EXTENSIONS
from triptych_common.media.raw import read_raw
from triptych_common.media.scaling import Resolution

SENSOR = (64, 48)
PREVIEW = (40, 30)
WHOLE = Resolution()


def jpeg(size: tuple[int, int] = PREVIEW, *, orientation: int | None = None) -> bytes:
    """A black picture whose upper left quarter is white."""
    picture = Image.new("RGB", size)
    picture.paste("white", (0, 0, size[0] // 2, size[1] // 2))
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, **({"exif": exif} if orientation is not None else {}))
    content = buffer.getvalue()
    if orientation is None:
        return content
    # A camera's EXIF comes first, where Pillow puts a JFIF header of 18 bytes; LibRaw would add an EXIF of its own.
    return content[:2] + content[20:]


def decoded(content: bytes, *, max_pixels: int = 10_000) -> DecodedImage:
    return decode_image(content, resolution=WHOLE, max_pixels=max_pixels)


def white_corner(image: DecodedImage) -> tuple[str, str]:
    """Which quarter is white."""
    height, width = image.pixels.shape[:2]
    quarters = {
        (vertical, horizontal): float(image.pixels[rows, columns].mean())
        for vertical, rows in (("upper", slice(0, height // 2)), ("lower", slice(height // 2, height)))
        for horizontal, columns in (("left", slice(0, width // 2)), ("right", slice(width // 2, width)))
    }
    return max(quarters, key=lambda quarter: quarters[quarter])


@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [
        (1, (40, 30), ("upper", "left")),
        (3, (40, 30), ("lower", "right")),
        (6, (30, 40), ("upper", "right")),
        (8, (30, 40), ("lower", "left")),
    ],
)
def test_the_embedded_preview_is_shown_upright(
    orientation: int, size: tuple[int, int], corner: tuple[str, str]
) -> None:
    image = decoded(make_dng(preview=jpeg(), preview_size=PREVIEW, size=SENSOR, orientation=orientation))

    assert (image.pixels.shape[1::-1], white_corner(image)) == (size, corner)
    turned = SENSOR if orientation < 5 else SENSOR[::-1]
    assert (image.facts.width, image.facts.height, image.facts.format) == (*turned, "RAW")


def test_a_preview_that_says_itself_how_it_stands_is_believed() -> None:
    image = decoded(make_dng(preview=jpeg(orientation=3), preview_size=PREVIEW, size=SENSOR))

    assert white_corner(image) == ("lower", "right")


def test_a_preview_that_is_upright_already_is_not_turned_again() -> None:
    image = decoded(make_dng(preview=jpeg((30, 40)), preview_size=(30, 40), size=SENSOR, orientation=6))

    assert (image.pixels.shape[1::-1], white_corner(image)) == ((30, 40), ("upper", "left"))


@pytest.mark.parametrize(("orientation", "size"), [(1, (32, 24)), (6, (24, 32))])
def test_without_a_preview_the_mosaic_is_developed_at_half_size(orientation: int, size: tuple[int, int]) -> None:
    image = decoded(make_dng(preview=None, size=SENSOR, orientation=orientation))

    assert image.pixels.shape[1::-1] == size
    assert image.pixels.dtype == np.uint8
    assert image.pixels.std() > 0


def test_a_preview_that_cannot_be_read_is_as_good_as_none() -> None:
    image = decoded(make_dng(preview=b"no picture at all", preview_size=PREVIEW, size=SENSOR))

    assert image.pixels.shape[1::-1] == (32, 24)


def test_it_is_known_by_its_content_and_has_its_time() -> None:
    content = make_dng(preview=None, size=SENSOR)

    assert read_raw(content, max_pixels=10_000) is not None
    assert decoded(make_dng(preview=jpeg(), preview_size=PREVIEW)).facts.taken_at == "2026-01-12T10:00:00"


def test_a_raw_photo_shrinks_as_any_other() -> None:
    content = make_dng(preview=jpeg((400, 300)), preview_size=(400, 300), size=SENSOR)

    image = decode_image(content, resolution=Resolution(longest_side_pixels=100), max_pixels=1_000_000)

    assert image.pixels.shape[1::-1] == (100, 75)


@pytest.mark.parametrize(
    "content",
    [
        make_dng(preview=None, size=(200, 200)),
        make_dng(preview=jpeg(), preview_size=PREVIEW, size=(200, 200)),
        make_dng(preview=jpeg((200, 200)), preview_size=(200, 200), size=SENSOR),
    ],
    ids=["mosaic", "mosaic with preview", "preview"],
)
def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(content: bytes) -> None:
    with pytest.raises(ImageFailure) as refused:
        decoded(content, max_pixels=20_000)

    assert refused.value.code == "too_large"


def _damaged() -> dict[str, bytes]:
    whole = make_dng(preview=None, size=SENSOR)
    with_preview = make_dng(preview=jpeg(), preview_size=PREVIEW, size=SENSOR)
    return {
        "cut in the mosaic": whole[:3000],
        "cut in the directory": whole[:200],
        "cut after the signature": b"FUJIFILMCCD-RAW 0201FF389501" + bytes(100),
        "cut in the preview": with_preview[:600],
        "noise behind the head": whole[:8] + bytes(range(256)) * 20,
    }


@pytest.mark.parametrize("content", _damaged().values(), ids=_damaged())
def test_a_damaged_raw_file_fails_as_a_damaged_picture_does(content: bytes) -> None:
    with pytest.raises(ImageFailure) as refused:
        decoded(content)

    assert refused.value.code in ("corrupt", "unsupported_format")
    assert refused.value.permanent


def test_an_ordinary_tiff_of_a_camera_is_no_raw_file() -> None:
    tags = {271: "Triptych", 272: "Test"}
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), "white").save(buffer, "TIFF", tiffinfo=tags)

    image = decoded(buffer.getvalue())

    assert (image.facts.format, image.pixels.shape) == ("TIFF", (10, 20, 3))


def test_raw_files_are_found_as_photos() -> None:
    assert {".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"} <= PHOTO_EXTENSIONS
