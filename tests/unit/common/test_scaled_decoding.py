"""What is shrunk while it is decoded looks as if it had been shrunk afterwards, and is never smaller than asked."""

import io
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image

from tests.support.colour_profiles import DISPLAY_P3, make_rgb_profile
from triptych_common.media import DecodedImage, ImageFailure, Resolution, decode_image
from triptych_common.media.scaling import decode_shrunk, shrink_decoded

WIDTH, HEIGHT = 1200, 800


def _scene() -> Image.Image:
    """An uneven picture with soft and sharp edges; red at the left, blue at the right."""
    x, y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    random = np.random.default_rng(1)
    soft = np.asarray(Image.fromarray(random.random((9, 13)).astype(np.float32)).resize((WIDTH, HEIGHT)))
    stripes = (np.sin(60 * (x + y)) > 0) * 0.3
    noise = random.normal(0, 0.02, (HEIGHT, WIDTH))
    picture = np.stack([(1 - x) * 0.7 + stripes, soft * 0.6 + stripes, x * 0.7 + y * 0.2], axis=-1) + noise[..., None]
    return Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))


SCENE = _scene()
SMALL = [
    Resolution(shortest_side_pixels=90),
    Resolution(shortest_side_pixels=224),
    Resolution(shortest_side_pixels=400),
    Resolution(longest_side_pixels=150),
    Resolution(longest_side_pixels=400),
    Resolution(longest_side_pixels=1000),
]


def encode(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(content: bytes, resolution: Resolution) -> DecodedImage:
    return decode_image(content, resolution=resolution, max_pixels=40_000_000)


def shrunk_afterwards(content: bytes, size: tuple[int, int]) -> NDArray[np.int16]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS), np.int16)


def difference(decoded: DecodedImage, content: bytes) -> float:
    """Mean absolute difference, in levels of 255, from the whole picture decoded and then shrunk."""
    height, width = decoded.pixels.shape[:2]
    return float(np.abs(decoded.pixels - shrunk_afterwards(content, (width, height))).mean())


KINDS: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    "4:2:0": (SCENE, {"quality": 90, "subsampling": 2}),
    "4:2:2": (SCENE, {"quality": 90, "subsampling": 1}),
    "4:4:4": (SCENE, {"quality": 90, "subsampling": 0}),
    "progressive": (SCENE, {"quality": 90, "progressive": True}),
    "with restarts": (SCENE, {"quality": 90, "restart_marker_rows": 1}),
    "grey": (SCENE.convert("L"), {"quality": 90}),
    "CMYK": (SCENE.convert("CMYK"), {"quality": 90}),
    "of several pictures": (SCENE, {"format": "MPO", "save_all": True, "append_images": [SCENE], "quality": 90}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_looks_as_if_it_had_been_shrunk_afterwards(kind: str) -> None:
    image, options = KINDS[kind]
    options = dict(options)
    content = encode(image, options.pop("format", "JPEG"), **options)

    for resolution in SMALL:
        decoded = decode(content, resolution)
        assert difference(decoded, content) < 4, resolution
        assert (decoded.facts.width, decoded.facts.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("size", [(1201, 801), (1207, 799), (801, 1203)])
def test_sides_that_nothing_divides_move_nothing(size: tuple[int, int]) -> None:
    content = encode(SCENE.resize(size), quality=95, subsampling=0)

    for longest in (76, 150, 152, 301, 700):
        assert difference(decode(content, Resolution(longest_side_pixels=longest)), content) < 4, longest


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP"])
def test_other_formats_look_so_too(kind: str) -> None:
    content = encode(SCENE, kind)

    for resolution in SMALL:
        assert difference(decode(content, resolution), content) < 4, resolution


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P", "1"])
def test_pictures_of_other_modes_are_shrunk_smoothly(mode: str) -> None:
    content = encode(SCENE.convert(mode), "PNG")

    for resolution in (Resolution(shortest_side_pixels=100), Resolution(longest_side_pixels=200)):
        assert difference(decode(content, resolution), content) < 5


def test_transparent_edges_do_not_darken_when_shrunk() -> None:
    # Black where nothing shows: averaged with what shows, it would make a grey rim.
    image = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 203, 400))

    for resolution in (Resolution(shortest_side_pixels=40), Resolution(longest_side_pixels=50)):
        assert decode(encode(image, "PNG"), resolution).pixels.min() >= 254


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
@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("TIFF", {}), ("WEBP", {})]
)
def test_shrunk_pictures_are_upright(kind: str, options: dict[str, Any], orientation: int) -> None:
    turn = _TURN_THAT_THE_TAG_UNDOES[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = encode(SCENE if turn is None else SCENE.transpose(turn), kind, exif=exif, **options)

    for resolution in (Resolution(shortest_side_pixels=100), Resolution(longest_side_pixels=150)):
        decoded = decode(content, resolution)
        height, width = decoded.pixels.shape[:2]
        upright = np.asarray(SCENE.resize((width, height), Image.Resampling.LANCZOS), np.int16)
        assert width > height
        assert float(np.abs(decoded.pixels - upright).mean()) < 6
        assert (decoded.facts.width, decoded.facts.height) == (WIDTH, HEIGHT)


SIDES = st.integers(1, 1500)


@given(width=SIDES, height=SIDES, wanted=st.integers(1, 600), kind=st.sampled_from(["JPEG", "BMP"]))
@example(width=1500, height=1, wanted=1, kind="JPEG")
@example(width=1, height=1500, wanted=600, kind="BMP")
@example(width=1023, height=511, wanted=512, kind="JPEG")
@example(width=1025, height=1025, wanted=64, kind="JPEG")
@settings(max_examples=60, deadline=None)
def test_the_shorter_side_is_at_least_as_long_as_asked_and_at_most_twice(
    width: int, height: int, wanted: int, kind: str
) -> None:
    content = encode(Image.new("RGB", (width, height), "gray"), kind)

    decoded = decode(content, Resolution(shortest_side_pixels=wanted))

    shortest = min(decoded.pixels.shape[:2])
    assert min(wanted, width, height) <= shortest <= min(2 * wanted, width, height)
    assert_of_the_same_shape(decoded, width, height)


@given(width=SIDES, height=SIDES, wanted=st.integers(1, 1600), kind=st.sampled_from(["JPEG", "BMP"]))
@example(width=1500, height=1, wanted=100, kind="JPEG")
@example(width=1, height=1500, wanted=1, kind="BMP")
@example(width=1023, height=511, wanted=512, kind="JPEG")
@settings(max_examples=60, deadline=None)
def test_the_longer_side_is_as_long_as_asked(width: int, height: int, wanted: int, kind: str) -> None:
    content = encode(Image.new("RGB", (width, height), "gray"), kind)

    decoded = decode(content, Resolution(longest_side_pixels=wanted))

    assert max(decoded.pixels.shape[:2]) == min(wanted, max(width, height))
    assert_of_the_same_shape(decoded, width, height)


@given(width=SIDES, height=SIDES, shortest=st.integers(1, 600), longest=st.integers(1, 1600))
@settings(max_examples=40, deadline=None)
def test_with_both_sides_given_the_longer_one_is_held(width: int, height: int, shortest: int, longest: int) -> None:
    content = encode(Image.new("RGB", (width, height), "gray"), "BMP")

    decoded = decode(content, Resolution(shortest_side_pixels=shortest, longest_side_pixels=longest))

    assert max(decoded.pixels.shape[:2]) <= longest
    assert_of_the_same_shape(decoded, width, height)


def assert_of_the_same_shape(decoded: DecodedImage, width: int, height: int) -> None:
    """A pixel more or less of each side is rounding."""
    rows, columns = decoded.pixels.shape[:2]
    assert abs(columns * height - rows * width) <= max(width, height) + max(rows, columns)
    assert (decoded.facts.width, decoded.facts.height) == (width, height)


def test_a_jpeg_is_decoded_no_larger_than_it_must_be() -> None:
    content = encode(Image.new("RGB", (4000, 3000), "gray"))
    for resolution, size in (
        (Resolution(shortest_side_pixels=512), (1000, 750)),
        (Resolution(shortest_side_pixels=224), (500, 375)),
        (Resolution(longest_side_pixels=1600), (2000, 1500)),
        (Resolution(longest_side_pixels=100), (500, 375)),
    ):
        image = Image.open(io.BytesIO(content))
        decode_shrunk(image, resolution)
        assert image.size == size


def test_what_is_small_enough_is_not_touched() -> None:
    for resolution in (Resolution(), Resolution(shortest_side_pixels=48), Resolution(longest_side_pixels=64)):
        image = Image.new("RGB", (64, 48))
        assert shrink_decoded(image, resolution, full_size=image.size, part=(0, 0, 64, 48)) is image


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_jpeg_that_ends_early_is_damaged_at_every_size(options: dict[str, Any]) -> None:
    content = encode(SCENE, **options)

    for resolution in SMALL:
        with pytest.raises(ImageFailure) as caught:
            decode(content[: len(content) * 2 // 3], resolution)
        assert caught.value.code == "corrupt"


def test_the_same_photo_comes_out_the_same_from_many_threads() -> None:
    content = encode(SCENE, icc_profile=make_rgb_profile(DISPLAY_P3))
    alone = decode(content, SMALL[0]).pixels
    found: list[bool] = []

    def work() -> None:
        found.extend(bool((decode(content, SMALL[0]).pixels == alone).all()) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 20
