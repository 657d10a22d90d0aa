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


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    inside, outside = tmp_path / "photos", tmp_path / "photos-private"
    inside.mkdir()
    outside.mkdir()
    for folder in (inside, outside):
        Image.new("RGB", (4, 4), "red").save(folder / "a.png")
    return inside


def _code(photos: Path, uri: str) -> str:
    """The failure's code for a URI, or "loaded"."""
    loader = ImageLoader(roots=MediaRoots([str(photos)]), resolution=Resolution(), max_bytes=10_000, max_pixels=10_000)
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
    }
    found = {name: _code(photos, uri_from_path(os.fsencode(path))) for name, path in paths.items()}
    assert found == {
        "direct": "path_not_allowed",
        "dots": "path_not_allowed",
        "link": "path_not_allowed",
        "linked folder": "path_not_allowed",
        "link within": "loaded",
    }
    encoded = uri_from_path(os.fsencode(photos)) + "/%2e%2e/photos-private/a.png"
    assert _code(photos, encoded) == "path_not_allowed"
    assert _code(photos, "http://127.0.0.1/a.png") == "path_not_allowed"


def test_files_that_cannot_be_read_say_why(photos: Path) -> None:
    (photos / "loop.png").symlink_to(photos / "loop.png")
    (photos / "empty.png").touch()
    (photos / "large.png").write_bytes(b"\0" * 10_001)
    base = uri_from_path(os.fsencode(photos))
    assert _code(photos, f"{base}/none.png") == "not_found"
    assert _code(photos, f"{base}/loop.png") == "symlink_loop"
    assert _code(photos, f"{base}/empty.png") == "empty_file"
    assert _code(photos, f"{base}/large.png") == "too_large"
    assert _code(photos, base) == "unsupported_format"


def test_without_roots_nothing_is_allowed(photos: Path) -> None:
    assert MediaRoots([]).resolve(os.fsencode(photos / "a.png")) is None


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("s3://bucket/photos/a.jpg", True),
        ("s3://bucket/photos-private/a.jpg", False),
        ("s3://bucket/photos/../secret.jpg", False),
        ("s3://other/photos/a.jpg", False),
    ],
)
def test_remote_photos_must_lie_under_a_remote_root(uri: str, allowed: bool) -> None:
    roots = MediaRoots(["s3://bucket/photos"])
    if allowed:
        assert roots.check_uri(uri) is None
    else:
        with pytest.raises(ImageFailure):
            roots.check_uri(uri)


def test_what_nobody_foresaw_costs_only_its_photo(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_remote(*_: object, **__: object) -> None:
        raise LookupError("the store's own error")

    monkeypatch.setattr("fsspec.open", open_remote)
    loader = ImageLoader(
        roots=MediaRoots([str(photos), "s3://bucket"]),
        resolution=Resolution(),
        max_bytes=10_000,
        max_pixels=10_000,
    )
    uris = ["s3://bucket/a.jpg", uri_from_path(os.fsencode(photos / "a.png"))]
    remote, local = [loader.load(ImageReference(item_id=n, uri=uri)) for n, uri in enumerate(uris)]
    assert isinstance(remote.image, ImageFailure)
    assert (remote.image.code, remote.image.permanent) == ("read_failed", False)
    assert not isinstance(local.image, ImageFailure)
