"""Locations: every name survives the way into a URI and back, and nothing outside the media roots is read."""

import os
from pathlib import Path

import pytest
from PIL import Image

from triptych_common.media import (
    ImageFailure,
    ImageLoader,
    ImageReference,
    MediaRoots,
    Resolution,
    decode_image,
    display_path,
    path_from_uri,
    uri_from_path,
)


@pytest.mark.parametrize(
    "path",
    [
        b"/photos/plain.jpg",
        b"/photos/with space & percent %41 #1?.jpg",
        b"/photos/line\nbreak.jpg",
        b"/photos/latin-\xe9t\xe9.jpg",
        "/photos/été 🏖.jpg".encode(),
        b"/photos/back\\slash.jpg",
    ],
)
def test_every_byte_of_a_path_survives_its_uri(path: bytes) -> None:
    uri = uri_from_path(path)
    assert uri.isascii() and uri.isprintable() and " " not in uri
    assert path_from_uri(uri) == path


def test_bytes_that_are_no_text_are_shown_escaped() -> None:
    assert display_path(b"/caf\xe9.jpg") == "/caf\\xe9.jpg"


@pytest.mark.parametrize(
    "uri", ["http://host/a.jpg", "file://elsewhere/a.jpg", "file:relative.jpg", "file:///a%00b.jpg", "/bare/path.jpg"]
)
def test_what_is_no_local_file_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError):
        path_from_uri(uri)


@pytest.fixture(params=["descriptors that stand for files", "paths alone"])
def photos(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A media root and a directory beside it, on Linux and on a system that has no more than POSIX says."""
    if request.param == "paths alone":
        monkeypatch.setattr("triptych_common.media.local_files._O_PATH", None)
    inside, outside = tmp_path / "photos", tmp_path / "photos-private"
    inside.mkdir()
    outside.mkdir()
    for folder in (inside, outside):
        Image.new("RGB", (4, 4), "red").save(folder / "a.png")
    return inside


def _code(photos: Path, uri: str) -> str:
    """The failure's code for a URI, or "loaded"."""
    loader = ImageLoader(
        roots=MediaRoots([str(photos)]),
        decode=decode_image,
        resolution=Resolution(),
        max_bytes=10_000,
        max_pixels=10_000,
    )
    loaded = loader.load(ImageReference(item_id=1, uri=uri))
    return loaded.image.code if isinstance(loaded.image, ImageFailure) else "loaded"


@pytest.mark.parametrize("name", [b"new\nline.png", b"caf\xe9.png", b"%2e%2e.png", "été.png".encode()])
def test_photos_of_any_name_are_read(photos: Path, name: bytes) -> None:
    path = os.fsencode(photos) + b"/" + name
    os.link(photos / "a.png", path)
    assert _code(photos, uri_from_path(path)) == "loaded"


def test_nothing_outside_the_roots_is_read(photos: Path) -> None:
    outside = photos.parent / "photos-private" / "a.png"
    (photos / "link.png").symlink_to(outside)
    (photos / "folder").symlink_to(outside.parent)
    (photos / "inner.png").symlink_to(photos / "a.png")
    paths = {
        "direct": outside,
        "dots": photos / ".." / "photos-private" / "a.png",
        "link": photos / "link.png",
        "linked folder": photos / "folder" / "a.png",
        "link within": photos / "inner.png",
        "not there": outside.parent / "none.png",
        "through a file": outside / "none.png",
    }
    found = {name: _code(photos, uri_from_path(os.fsencode(path))) for name, path in paths.items()}
    assert found == {
        "direct": "path_not_allowed",
        "dots": "path_not_allowed",
        "link": "path_not_allowed",
        "linked folder": "path_not_allowed",
        "link within": "loaded",
        "not there": "path_not_allowed",
        "through a file": "path_not_allowed",
    }
    encoded = uri_from_path(os.fsencode(photos)) + "/%2e%2e/photos-private/a.png"
    assert _code(photos, encoded) == "path_not_allowed"
    assert _code(photos, "http://127.0.0.1/a.png") == "path_not_allowed"


def test_the_file_that_was_checked_is_the_one_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album, outside = tmp_path / "photos" / "album", tmp_path / "private"
    for folder, content in ((album, b"ours"), (outside, b"theirs")):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(content)
    readlink = os.readlink

    def readlink_and_swap(path: bytes) -> bytes:
        """Once the file was looked at, a link takes the place of its folder."""
        found = readlink(path)
        album.rename(tmp_path / "before")
        album.symlink_to(outside)
        return found

    roots = MediaRoots([str(album.parent)])
    with monkeypatch.context() as patch:
        patch.setattr("os.readlink", readlink_and_swap)
        with roots.open(os.fsencode(album / "a.jpg")) as file:
            assert file.content.read(10) == b"ours"
    with pytest.raises(ImageFailure, match="outside the media roots"):
        roots.open(os.fsencode(album / "a.jpg"))


def test_a_root_is_found_however_a_file_system_spells_it(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos.parent / "PHOTOS").symlink_to(photos)  # stands for a file system that takes both for one
    monkeypatch.setattr("os.path.realpath", lambda path: path)
    roots = MediaRoots([str(photos.parent / "PHOTOS")])
    with roots.open(os.fsencode(photos.parent / "PHOTOS" / "a.png")) as file:
        assert file.content.read(4) == b"\x89PNG"


def test_a_file_of_any_size_up_to_the_limit_is_read_whole(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told:
        st_size = 0  # as some network file systems say of all files
        st_mode = 0o100644

    monkeypatch.setattr("triptych_common.media.local_files.os.fstat", lambda _: Told())
    assert _code(photos, uri_from_path(os.fsencode(photos / "a.png"))) == "loaded"
    (photos / "large.png").write_bytes(b"\0" * 10_001)
    assert _code(photos, uri_from_path(os.fsencode(photos / "large.png"))) == "too_large"


def test_files_that_cannot_be_read_say_why(photos: Path) -> None:
    (photos / "loop.png").symlink_to(photos / "loop.png")
    (photos / "empty.png").touch()
    (photos / "large.png").write_bytes(b"\0" * 10_001)
    os.mkfifo(photos / "pipe.png")
    base = uri_from_path(os.fsencode(photos))
    assert _code(photos, f"{base}/none.png") == "not_found"
    assert _code(photos, f"{base}/a.png/below.png") == "not_found"
    assert _code(photos, f"{base}/loop.png") == "symlink_loop"
    assert _code(photos, f"{base}/empty.png") == "empty_file"
    assert _code(photos, f"{base}/large.png") == "too_large"
    assert _code(photos, f"{base}/pipe.png") == "unsupported_format"
    assert _code(photos, base) == "unsupported_format"


def test_without_roots_nothing_is_allowed(photos: Path) -> None:
    assert MediaRoots([]).resolve(os.fsencode(photos / "a.png")) is None


def test_what_nobody_foresaw_costs_only_its_photo(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = MediaRoots.read

    def read_or_fail(roots: MediaRoots, path: bytes, *, max_bytes: int) -> bytes:
        if path.endswith(b"/b.png"):
            raise LookupError("a store's own error")
        return read(roots, path, max_bytes=max_bytes)

    monkeypatch.setattr("triptych_common.media.locations.MediaRoots.read", read_or_fail)
    loader = ImageLoader(
        roots=MediaRoots([str(photos)]),
        decode=decode_image,
        resolution=Resolution(),
        max_bytes=10_000,
        max_pixels=10_000,
    )
    uris = [uri_from_path(os.fsencode(photos / name)) for name in ("b.png", "a.png")]
    failing, other = [loader.load(ImageReference(item_id=n, uri=uri)) for n, uri in enumerate(uris)]
    assert isinstance(failing.image, ImageFailure)
    assert (failing.image.code, failing.image.permanent) == ("read_failed", False)
    assert not isinstance(other.image, ImageFailure)
