"""A sample library is the same every time, holds what its manifest says and never touches what is not its own."""

import hashlib
import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image, ImageOps

from triptych_gateway.cli.samples import library as library_module
from triptych_gateway.cli.samples.errors import DirectoryRefusedError, PictureChangedError
from triptych_gateway.cli.samples.library import MANIFEST_NAME, SampleLibrary, write_library
from triptych_gateway.cli.samples.sources import find_pictures


def contents(directory: Path) -> dict[str, bytes]:
    files = (file for file in sorted(directory.rglob("*")) if file.is_file())
    return {str(file.relative_to(directory)): file.read_bytes() for file in files}


def manifest_photos(directory: Path) -> list[dict[str, Any]]:
    photos: list[dict[str, Any]] = json.loads((directory / MANIFEST_NAME).read_text(encoding="utf-8"))["photos"]
    return photos


def test_the_same_count_and_seed_give_the_same_bytes_and_times(small_library: SampleLibrary, tmp_path: Path) -> None:
    again = write_library(tmp_path / "again", count=small_library.count, seed=small_library.seed)

    assert contents(again.directory) == contents(small_library.directory)
    for name in contents(again.directory).keys() - {MANIFEST_NAME}:
        assert (again.directory / name).stat().st_mtime == (small_library.directory / name).stat().st_mtime


def test_a_larger_library_begins_with_the_smaller_one_and_another_seed_shares_nothing(
    small_library: SampleLibrary, tmp_path: Path
) -> None:
    smaller = write_library(tmp_path / "smaller", count=5, seed=small_library.seed)
    other = write_library(tmp_path / "other", count=5, seed=small_library.seed + 1)

    hashes = [photo["sha256"] for photo in manifest_photos(small_library.directory)]
    assert [photo["sha256"] for photo in manifest_photos(smaller.directory)] == hashes[:5]
    assert not {photo["sha256"] for photo in manifest_photos(other.directory)} & set(hashes)


def test_the_manifest_lists_exactly_the_files_and_their_hashes(small_library: SampleLibrary) -> None:
    files = contents(small_library.directory)
    del files[MANIFEST_NAME]
    photos = manifest_photos(small_library.directory)

    assert {photo["name"]: photo["sha256"] for photo in photos} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    assert len({photo["sha256"] for photo in photos}) == small_library.count
    assert small_library.total_bytes == sum(map(len, files.values()))
    assert all(photo["source"]["credit"] and photo["source"]["version"] for photo in photos)


def test_every_photo_opens_upright_in_the_size_and_at_the_time_that_the_manifest_gives(
    small_library: SampleLibrary,
) -> None:
    for photo in manifest_photos(small_library.directory):
        with Image.open(small_library.directory / photo["name"]) as image:
            exif = image.getexif()
            upright = ImageOps.exif_transpose(image)
        framing, encoding = photo["derived"]["framing"], photo["derived"]["encoding"]
        assert image.format == encoding["format"].upper()
        assert exif[ExifTags.Base.Orientation] == encoding["orientation"]
        assert upright.size == (framing["width"], framing["height"])
        taken_at = exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal]
        assert datetime.strptime(taken_at, "%Y:%m:%d %H:%M:%S").isoformat() == photo["taken_at"]  # noqa: DTZ007


def test_the_default_library_has_faces_groups_formats_and_orientations_enough(tmp_path: Path) -> None:
    library = write_library(tmp_path / "library", count=30, seed=0)
    photos = manifest_photos(library.directory)
    encodings = [photo["derived"]["encoding"] for photo in photos]

    assert len(photos) == 30
    assert sum(library.faces_by_person.values()) >= 20
    assert sum(faces >= 3 for faces in library.faces_by_person.values()) == len(library.faces_by_person) == 7
    assert sum(not photo["people"] for photo in photos) >= 5
    assert {encoding["format"] for encoding in encodings} == {"jpeg", "png", "webp"}
    assert sum(encoding["orientation"] != 1 for encoding in encodings) >= 3
    assert len({photo["name"].partition("/")[0] for photo in photos}) == 3
    assert library.photos_by_credit == Counter(
        (photo["source"]["distribution"], photo["source"]["credit"]) for photo in photos
    )


def test_a_library_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    first = write_library(tmp_path / "library", count=3, seed=4)
    times = {file: file.stat().st_mtime_ns for file in first.directory.rglob("*")}

    second = write_library(tmp_path / "library", count=3, seed=4)

    assert first.written
    assert not second.written
    assert second.faces_by_person == first.faces_by_person
    assert {file: file.stat().st_mtime_ns for file in first.directory.rglob("*")} == times


def test_an_empty_directory_is_used_and_parents_are_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert write_library(tmp_path / "empty", count=1, seed=0).written
    assert write_library(tmp_path / "a" / "b" / "c", count=1, seed=0).written


def test_a_link_to_a_directory_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    write_library(tmp_path / "link", count=1, seed=0)

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / MANIFEST_NAME).is_file()


def test_a_directory_with_other_files_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"mine")

    with pytest.raises(DirectoryRefusedError, match="holds other files"):
        write_library(tmp_path / "photos", count=1, seed=0)

    assert contents(tmp_path) == {"photos/mine.jpg": b"mine"}


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").write_bytes(b"mine")

    with pytest.raises(DirectoryRefusedError, match="is not a directory"):
        write_library(tmp_path / "photos", count=1, seed=0)


@pytest.mark.parametrize("text", ["not JSON", "[]", "{}", '{"generator_version": 1, "count": 1, "seed": 0}'])
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST_NAME).write_text(text, encoding="utf-8")

    with pytest.raises(DirectoryRefusedError, match="no manifest of samples"):
        write_library(tmp_path, count=1, seed=0)


@pytest.mark.parametrize(("count", "seed"), [(3, 0), (2, 1)])
def test_a_library_of_another_count_or_seed_is_refused_and_untouched(tmp_path: Path, count: int, seed: int) -> None:
    write_library(tmp_path / "library", count=2, seed=0)
    before = contents(tmp_path)

    with pytest.raises(DirectoryRefusedError, match=r"another sample library \(2 photos, seed 0"):
        write_library(tmp_path / "library", count=count, seed=seed)

    assert contents(tmp_path) == before


def test_a_library_with_a_damaged_photo_is_refused_by_name(tmp_path: Path) -> None:
    write_library(tmp_path / "library", count=2, seed=0)
    name = manifest_photos(tmp_path / "library")[1]["name"]
    (tmp_path / "library" / name).write_bytes(b"")

    with pytest.raises(DirectoryRefusedError, match=rf"1 of the 2 photos .*{name}"):
        write_library(tmp_path / "library", count=2, seed=0)


def test_a_failure_halfway_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail_at_second(written: int) -> None:
        if written == 2:
            raise InterruptedError("stopped at the second photo")

    with pytest.raises(InterruptedError):
        write_library(tmp_path / "library", count=3, seed=0, on_photo=fail_at_second)

    assert list(tmp_path.iterdir()) == []


def test_files_that_came_meanwhile_are_not_replaced(tmp_path: Path) -> None:
    def interfere(_: int) -> None:
        (tmp_path / "library").mkdir()
        (tmp_path / "library" / "mine.jpg").write_bytes(b"mine")

    with pytest.raises(DirectoryRefusedError, match="could not be moved"):
        write_library(tmp_path / "library", count=1, seed=0, on_photo=interfere)

    assert contents(tmp_path) == {"library/mine.jpg": b"mine"}


def test_a_picture_of_another_size_than_measured_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "other.png")
    found = dict.fromkeys(find_pictures(), tmp_path / "other.png")
    monkeypatch.setattr(library_module, "find_pictures", lambda: found)

    with pytest.raises(PictureChangedError, match="has 16 × 16 pixels, not 512 × 512"):
        write_library(tmp_path / "library", count=1, seed=0)


@pytest.mark.parametrize("count", [0, -1, library_module.MAXIMUM_COUNT + 1])
def test_a_count_out_of_range_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match="count must be from 1"):
        write_library(tmp_path / "library", count=count, seed=0)
