"""Colours come out in sRGB whatever space a picture is in, and a profile that cannot be used costs only the colours."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from tests.support.colour_profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    make_grey_profile,
    make_press_profile,
    make_rgb_profile,
)
from triptych_common.media import Resolution, decode_image

RgbProfile = Callable[[], bytes]


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(content: bytes, **resolution: int) -> NDArray[np.uint8]:
    return decode_image(content, resolution=Resolution(**resolution), max_pixels=1_000_000).pixels


def patch(colour: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (64, 48), colour if len(colour) > 1 else colour[0])


def middle(pixels: NDArray[np.uint8]) -> list[int]:
    return [int(value) for value in pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]]


def srgb_linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def srgb_encoded(value: float) -> float:
    value = min(1.0, max(0.0, value))
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


SRGB = ((0.43604, 0.22249, 0.01392), (0.38511, 0.71690, 0.09707), (0.14305, 0.06061, 0.71393))


def expected(colour: tuple[int, int, int], colorants: Any, linear: Callable[[float], float]) -> list[int]:
    """A colour of a matrix profile in sRGB, by the definition."""
    xyz = np.array(colorants).T @ [linear(value / 255) for value in colour]
    return [round(255 * srgb_encoded(value)) for value in np.linalg.solve(np.array(SRGB).T, xyz)]


COLOURS = [(200, 60, 60), (60, 160, 80), (70, 90, 190), (128, 128, 128), (255, 255, 255), (0, 0, 0), (190, 150, 120)]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_display_p3_comes_out_as_srgb(colour: tuple[int, int, int], kind: str) -> None:
    options = {"quality": 100} | (
        {"lossless": True} if kind == "WEBP" else {"subsampling": 0} if kind == "JPEG" else {}
    )
    content = encode(patch(colour), kind, icc_profile=make_rgb_profile(DISPLAY_P3), **options)

    assert middle(decoded(content)) == pytest.approx(expected(colour, DISPLAY_P3, srgb_linear), abs=3)


@pytest.mark.parametrize("colour", COLOURS)
def test_adobe_rgb_comes_out_as_srgb(colour: tuple[int, int, int]) -> None:
    content = encode(patch(colour), "PNG", icc_profile=make_rgb_profile(ADOBE_RGB, gamma=2.19921875))

    assert middle(decoded(content)) == pytest.approx(
        expected(colour, ADOBE_RGB, lambda value: value**2.19921875), abs=3
    )


@pytest.mark.parametrize(("index", "is_adobe"), [("R03", True), ("R98", False), ("", False)])
def test_a_camera_may_say_adobe_rgb_in_its_exif_alone(index: str, is_adobe: bool) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: index}
    content = encode(patch((60, 160, 80)), "JPEG", quality=100, subsampling=0, exif=exif)

    as_adobe = expected((60, 160, 80), ADOBE_RGB, lambda value: value**2.19921875)
    assert middle(decoded(content)) == pytest.approx(as_adobe if is_adobe else [60, 160, 80], abs=3)


def test_a_profile_in_the_file_is_believed_before_the_exif() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: "R03"}
    content = encode(patch((60, 160, 80)), "JPEG", quality=100, exif=exif, icc_profile=make_rgb_profile(SRGB))

    assert middle(decoded(content)) == pytest.approx([60, 160, 80], abs=3)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_profiles_of_other_containers_are_used_too(kind: str) -> None:
    content = encode(patch((200, 60, 60)), kind, quality=95, icc_profile=make_rgb_profile(DISPLAY_P3))

    assert middle(decoded(content)) == pytest.approx(expected((200, 60, 60), DISPLAY_P3, srgb_linear), abs=8)


def test_colours_are_the_same_at_every_size() -> None:
    image = Image.new("RGB", (800, 600), (200, 60, 60))
    content = encode(image, "JPEG", quality=95, icc_profile=make_rgb_profile(DISPLAY_P3))

    full = middle(decoded(content))
    assert middle(decoded(content, shortest_side_pixels=70)) == pytest.approx(full, abs=2)
    assert middle(decoded(content, longest_side_pixels=100)) == pytest.approx(full, abs=2)


@pytest.mark.parametrize(
    "profile",
    [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), make_rgb_profile(SRGB)],
    ids=["littlecms'", "by hand"],
)
def test_what_is_srgb_by_any_name_is_left_as_it_is(profile: bytes) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)

    assert (decoded(encode(Image.fromarray(noise), "PNG", icc_profile=profile)) == noise).all()


def test_grey_with_another_gamma_is_made_srgb() -> None:
    content = encode(patch((100,), "L"), "PNG", icc_profile=make_grey_profile(gamma=1.0))

    assert middle(decoded(content)) == pytest.approx([round(255 * srgb_encoded(100 / 255))] * 3, abs=2)


def test_grey_with_transparency_keeps_its_gamma_and_lies_over_white() -> None:
    image = Image.merge("LA", (patch((100,), "L"), patch((0,), "L")))
    image.paste((100, 255), (0, 0, 64, 24))

    pixels = decoded(encode(image, "PNG", icc_profile=make_grey_profile(gamma=1.0)))

    assert pixels[6, 6].tolist() == pytest.approx([round(255 * srgb_encoded(100 / 255))] * 3, abs=2)
    assert pixels[40, 6].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_read_by_its_profile(kind: str) -> None:
    def printed(*ink: int) -> list[int]:
        return middle(decoded(encode(patch(ink, "CMYK"), kind, icc_profile=make_press_profile())))

    assert min(printed(0, 0, 0, 0)) > 245
    assert max(printed(255, 255, 255, 255)) < 25
    # This press' black alone is a grey, and its magenta reflects green; without a profile they would be pure.
    assert printed(0, 0, 0, 255) == pytest.approx([119, 119, 119], abs=5)
    assert printed(0, 255, 0, 0)[1] > 60
    assert middle(decoded(encode(patch((0, 255, 0, 0), "CMYK"), kind))) == pytest.approx([255, 0, 255], abs=4)


def test_lab_is_read() -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(patch((190, 150, 120)), to_lab)
    assert lab is not None

    assert middle(decoded(encode(lab, "TIFF"))) == pytest.approx([190, 150, 120], abs=3)


def _damaged_profiles() -> dict[str, bytes]:
    whole = make_rgb_profile(DISPLAY_P3)
    noise = bytearray(whole)
    noise[132:] = np.random.default_rng(2).integers(0, 256, len(whole) - 132, np.uint8).tobytes()
    return {
        "nothing in it": bytes(200),
        "no profile at all": b"profile" * 40,
        "a few bytes": whole[:40],
        "cut": whole[:200],
        "noise": bytes(noise),
        "of grey": make_grey_profile(gamma=1.0),
        "of a press": make_press_profile(),
        "too large": whole + bytes(5 * 2**20),
    }


@pytest.mark.parametrize("profile", _damaged_profiles().values(), ids=_damaged_profiles())
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_profile_that_cannot_be_used_is_ignored(profile: bytes, kind: str) -> None:
    content = encode(patch((200, 60, 60)), kind, icc_profile=profile)

    assert middle(decoded(content)) == pytest.approx([200, 60, 60], abs=3)


def test_every_way_of_damaging_a_profile_leaves_a_picture() -> None:
    whole = make_rgb_profile(DISPLAY_P3)
    random = np.random.default_rng(3)
    for _ in range(100):
        damaged = bytearray(whole)
        for position in random.integers(0, len(whole), 4):
            damaged[position] = random.integers(0, 256)
        assert decoded(encode(patch((200, 60, 60)), "PNG", icc_profile=bytes(damaged))).shape == (48, 64, 3)
