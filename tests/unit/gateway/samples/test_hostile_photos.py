"""The hostile photos are as hostile, and the readable ones as readable, as their maker says."""

import os
from collections.abc import Iterator
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from tests.support.hostile_photos import (
    BLUE,
    BOMB_SIDE,
    CORRUPT,
    GREEN,
    RED,
    TOO_LARGE,
    UNSUPPORTED_FORMAT,
    WHITE,
    HostilePhotos,
    corner_colours,
    make_hostile_photos,
    make_removable,
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostilePhotos]:
    pillow_heif.register_heif_opener()
    photos = make_hostile_photos(tmp_path_factory.mktemp("hostile"))
    yield photos
    make_removable(photos)


def file_of(hostile: HostilePhotos, name: bytes) -> bytes:
    return os.path.join(hostile.directory, name)  # noqa: PTH118  a path of bytes


def names_with(hostile: HostilePhotos, code: str) -> list[bytes]:
    return [name for name, its_code in hostile.bad.items() if its_code == code]


def test_everything_in_the_directory_is_accounted_for(hostile: HostilePhotos) -> None:
    listed = {*hostile.readable, *hostile.bad, *(folder.partition(b"/")[0] for folder in hostile.folders)}

    assert set(os.listdir(hostile.directory)) == listed  # noqa: PTH208  names as bytes
    assert set(hostile.upright) < set(hostile.readable)
    assert not set(hostile.readable) & set(hostile.bad)


def test_readable_photos_decode_and_are_upright_where_said(hostile: HostilePhotos) -> None:
    for name in hostile.readable:
        with Image.open(file_of(hostile, name)) as image:
            image.load()
            if name in hostile.upright:
                assert corner_colours(ImageOps.exif_transpose(image)) == (RED, GREEN, BLUE, WHITE), name


def test_broken_photos_do_not_decode(hostile: HostilePhotos) -> None:
    for name in names_with(hostile, CORRUPT):
        with Image.open(file_of(hostile, name)) as image, pytest.raises(OSError, match="truncated"):
            image.load()
    for name in names_with(hostile, UNSUPPORTED_FORMAT):
        with pytest.raises(UnidentifiedImageError):
            Image.open(file_of(hostile, name))


def test_the_bomb_is_small_on_disk_and_enormous_decoded(
    hostile: HostilePhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bomb,) = names_with(hostile, TOO_LARGE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)

    with Image.open(file_of(hostile, bomb)) as image:
        assert image.size == (BOMB_SIDE, BOMB_SIDE)
    assert Path(os.fsdecode(file_of(hostile, bomb))).stat().st_size < 1_000_000


def test_modes_and_links_are_what_their_codes_say(hostile: HostilePhotos) -> None:
    directory = Path(os.fsdecode(hostile.directory))

    assert (directory / "locked.jpg").stat().st_mode & 0o777 == 0
    assert (directory / "locked").stat().st_mode & 0o777 == 0
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        (directory / "itself.jpg").open("rb")
    with pytest.raises(FileNotFoundError):
        (directory / "dangling.jpg").open("rb")
    assert (directory / "sub" / "loop").resolve() == directory.resolve()
    assert (directory / "empty.jpg").stat().st_size == 0
