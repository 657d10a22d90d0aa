"""Preparing photos for CLIP: the middle, the whole or both sides of a photo, as each network was trained."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from triptych_common.media import Resolution
from triptych_embedder.models.clip_preprocessing import Preprocessing, ResizeMode

_PLAIN = Preprocessing(
    height=32,
    width=32,
    mean=(0.0, 0.0, 0.0),
    deviation=(1.0, 1.0, 1.0),
    interpolation="bicubic",
    resize_mode="shortest",
    fill=0,
)


def _striped(width: int, height: int) -> NDArray[np.uint8]:
    """Red on the left third, green in the middle, blue on the right."""
    photo = np.zeros((height, width, 3), np.uint8)
    for channel, columns in enumerate(np.array_split(np.arange(width), 3)):
        photo[:, columns, channel] = 255
    return photo


def _smooth(width: int, height: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(width).integers(0, 256, (5, 7, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def test_values_are_channels_first_and_normal() -> None:
    grey = np.full((40, 50, 3), 51, np.uint8)
    normal = replace(_PLAIN, mean=(0.1, 0.2, 0.3), deviation=(0.5, 1.0, 2.0)).prepare(grey)
    assert normal.shape == (3, 32, 32) and normal.dtype == np.float32
    assert normal[:, 5, 7] == pytest.approx([0.2, 0.0, -0.05], abs=1e-6)


def test_the_shorter_side_fits_and_the_middle_is_taken() -> None:
    across = _PLAIN.prepare(_striped(96, 32))
    assert across.mean(axis=(1, 2)) == pytest.approx([0, 1, 0], abs=0.02)
    down = _PLAIN.prepare(np.ascontiguousarray(_striped(96, 32).transpose(1, 0, 2)))
    assert down.mean(axis=(1, 2)) == pytest.approx([0, 1, 0], abs=0.02)


def test_the_longer_side_fits_and_the_rest_is_filled() -> None:
    picture = replace(_PLAIN, resize_mode="longest", fill=255).prepare(_striped(96, 48))
    assert (picture[:, :8] == 1).all() and (picture[:, -8:] == 1).all()
    assert picture[:, 8:24].mean(axis=(1, 2)) == pytest.approx([1 / 3] * 3, abs=0.03)


def test_both_sides_fit_where_a_photo_is_squashed() -> None:
    picture = replace(_PLAIN, resize_mode="squash", height=16).prepare(_striped(300, 40))
    assert picture.shape == (3, 16, 32)
    assert picture.mean(axis=(1, 2)) == pytest.approx([1 / 3] * 3, abs=0.03)


@pytest.mark.parametrize("size", [(500, 300), (64, 64), (33, 40), (10, 14), (32, 32), (1000, 10)])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_any_size_becomes_the_one_that_is_needed(size: tuple[int, int], mode: ResizeMode) -> None:
    for height, width in ((32, 32), (32, 48)):
        preprocessing = replace(_PLAIN, height=height, width=width, resize_mode=mode)
        assert preprocessing.prepare(_smooth(*size)).shape == (3, height, width)


def test_of_a_very_long_photo_only_the_part_that_is_taken_is_resized() -> None:
    """Else a strip of 20,000 × 2 pixels would become one of 320,000 × 32."""
    long = _smooth(400, 50)
    whole = Image.fromarray(long).resize((256, 32), Image.Resampling.BICUBIC).crop((112, 0, 144, 32))
    expected = np.asarray(whole, np.float32).transpose(2, 0, 1) / 255
    assert np.abs(_PLAIN.prepare(long) - expected).max() <= 1 / 255 + 1e-6
    assert _PLAIN.prepare(_smooth(20_000, 2)).shape == (3, 32, 32)


def test_many_photos_are_prepared_as_each_alone() -> None:
    photos = [_smooth(60 + number, 90 - number) for number in range(9)]
    together = _PLAIN.prepare_all(photos, threads=4)
    assert np.array_equal(together, np.stack([_PLAIN.prepare(photo) for photo in photos]))
    assert np.array_equal(together[:1], _PLAIN.prepare_all(photos[:1], threads=4))


def test_photos_may_be_shrunk_to_twice_what_is_needed() -> None:
    assert _PLAIN.resolution == Resolution(shortest_side_pixels=64)
    assert replace(_PLAIN, width=48, resize_mode="squash").resolution == Resolution(shortest_side_pixels=96)
    assert replace(_PLAIN, resize_mode="longest").resolution == Resolution(longest_side_pixels=64)
