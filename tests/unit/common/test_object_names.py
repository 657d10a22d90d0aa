"""Names of objects: only plain ones below a root are allowed, whatever is tried, and each survives its URI."""

import posixpath
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_common.errors import ConfigurationError
from triptych_common.media import ImageFailure, MediaRoots, path_from_uri, uri_from_path
from triptych_common.media.object_names import is_object_path, is_under, object_root, plain_parts
from triptych_common.media.object_times import have_same_tag, object_time_ns

ROOT = b"s3://bucket/photos"
ROOTS = MediaRoots(["s3://bucket/photos", "s3://whole-bucket"])

_PARTS = st.one_of(
    st.sampled_from(
        ["..", ".", "", "photos", "bucket", "%2e%2e", "%2E.", "..%2f", "a.jpg", "photos-private", "\\", "?", "#"]
    ),
    st.text(max_size=8),
)
_TRIED = st.lists(_PARTS, max_size=8).map("/".join)


def resolves(path: bytes) -> bool:
    return ROOTS.resolve(path) is not None


@pytest.mark.parametrize(
    ("path", "is_allowed"),
    [
        (b"s3://bucket/photos", True),
        (b"s3://bucket/photos/2024/a.jpg", True),
        ("s3://bucket/photos/été ?#%2e%2e&+.jpg".encode(), True),
        (b"s3://bucket/photos/%2e%2e/a.jpg", True),  # a name like any other: nothing decodes it
        (b"s3://whole-bucket/any/a.jpg", True),
        (b"s3://bucket", False),
        (b"s3://bucket/photos-private/a.jpg", False),
        (b"s3://bucket/other/a.jpg", False),
        (b"s3://other/photos/a.jpg", False),
        (b"s3://bucket.evil/photos/a.jpg", False),
        (b"s3://bucket/photos/../secret.jpg", False),
        (b"s3://bucket/photos/./a.jpg", False),
        (b"s3://bucket/photos//a.jpg", False),
        (b"s3://bucket/photos/", False),
        (b"s3://bucket//photos/a.jpg", False),
        (b"s3://key:secret@bucket/photos/a.jpg", False),
        (b"s3://bucket:9000/photos/a.jpg", False),
        (b"s3:///photos/a.jpg", False),
        (b"S3://bucket/photos/a.jpg", False),
        (b"s3:/bucket/photos/a.jpg", False),
        (b"s3://bucket/photos/a\0.jpg", False),
        (b"s3://bucket/photos/caf\xe9.jpg", False),  # no key: keys are UTF-8
        (b"s3://bucket/photos/" + b"a" * 1025, False),
        (b"/bucket/photos/a.jpg", False),
    ],
)
def test_only_plain_paths_below_a_root_are_allowed(path: bytes, is_allowed: bool) -> None:
    assert resolves(path) == is_allowed


@given(_TRIED)
def test_nothing_that_is_allowed_leads_out_of_its_root(tried: str) -> None:
    path = ROOT + b"/" + tried.encode(errors="surrogatepass")
    if not resolves(path):
        return
    # However often what lies between takes it to pieces, it stays below the root.
    assert posixpath.normpath(path.removeprefix(b"s3:/")) == path.removeprefix(b"s3:/")
    bucket, key = plain_parts(path) or ("", "")
    assert bucket == "bucket" and is_under(key.encode(), b"photos")
    assert f"s3://{bucket}/{key}".encode() == path


@given(_TRIED)
def test_the_same_is_told_of_all_that_is_not_allowed(tried: str) -> None:
    uri = f"s3://bucket/{tried}"
    with_root = MediaRoots(["s3://bucket/photos"])
    try:
        path = with_root.check_uri(uri)
    except ImageFailure as failure:
        assert failure.code == "path_not_allowed"
        return
    if with_root.resolve(path) is None:
        # No store is there to be asked: what is refused is refused before.
        for refused in (with_root.open, lambda one: with_root.read(one, max_bytes=1)):
            with pytest.raises(ImageFailure, match="outside the media roots") as caught:
                refused(path)
            assert caught.value.code == "path_not_allowed"


@given(st.text(min_size=1, max_size=60))
def test_every_key_survives_its_uri(key: str) -> None:
    try:
        path = b"s3://bucket/" + key.encode()
    except UnicodeEncodeError:
        return
    if plain_parts(path) is None:
        return
    uri = uri_from_path(path)
    assert uri.isascii() and uri.isprintable() and not {" ", "?", "#"} & set(uri)
    assert path_from_uri(uri) == path
    assert ROOTS.check_uri(uri) == path
    assert unquote(uri) == path.decode()


@pytest.mark.parametrize(
    "uri",
    ["s3://bucket/photos/a.jpg?versionId=1", "s3://bucket/photos/a.jpg#x", "s3a://bucket/photos/a.jpg", "gs://b/a"],
)
def test_what_is_no_uri_of_an_object_is_refused(uri: str) -> None:
    with pytest.raises(ImageFailure) as caught:
        ROOTS.check_uri(uri)
    assert caught.value.code == "path_not_allowed"


def test_encoded_dots_in_a_uri_are_dots() -> None:
    for uri in ("s3://bucket/photos/%2e%2e/secret.jpg", "s3://bucket/photos/..%2Fsecret.jpg", "s3://bucke%74/%2e/x"):
        path = ROOTS.check_uri(uri)
        assert is_object_path(path) and not resolves(path)


@pytest.mark.parametrize(
    "root",
    ["gs://bucket/photos", "http://169.254.169.254/", "s3://", "s3://bucket/../other", "s3://b", "s3://a:b@bucket"],
)
def test_a_root_that_cannot_be_one_is_a_sentence(root: str) -> None:
    with pytest.raises(ConfigurationError, match="The media root"):
        MediaRoots([root])


def test_a_root_is_the_same_with_and_without_a_slash_at_its_end() -> None:
    assert object_root("s3://bucket/photos/") == object_root("s3://bucket/photos") == ROOT
    assert object_root("s3://bucket/") == b"s3://bucket"


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)), st.text(max_size=40))  # noqa: DTZ001
def test_times_of_objects_keep_their_second_and_tell_contents_apart(moment: datetime, tag: str) -> None:
    moment = moment.replace(tzinfo=UTC)
    first = object_time_ns(moment, f'"{tag}"')
    assert first // 10**9 == int(moment.timestamp())
    assert first == object_time_ns(moment, f'"{tag}"')
    assert first != object_time_ns(moment, f'"{tag}x"')
    later = object_time_ns(moment.replace(year=2101), f'W/"{tag}"')
    assert later != first
    assert have_same_tag(first, later) == bool(tag.strip('"').removeprefix("W/"))
    assert not have_same_tag(first, object_time_ns(moment, f'"{tag}x"'))
