"""Objects of a real store: read as they are, within limits; what is not there, refused or away is told apart."""

import http.server
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.object_storage import Storage
from tests.support.ports import free_port
from tests.support.real_servers import wait_for
from triptych_common.errors import AwayError, ConfigurationError
from triptych_common.media import (
    ImageFailure,
    ImageLoader,
    ImageReference,
    MediaRoots,
    Resolution,
    decode_image,
    uri_from_path,
)
from triptych_common.store_access import StoreAccess

ODD_KEYS = ["a.jpg", "été ü+&?#.jpg", "x?versionId=3.jpg", "%2e%2e/x.jpg", "deep/er/a b.jpg", "back\\slash.jpg"]


def code(roots: MediaRoots, path: bytes, *, max_bytes: int = 1000) -> str:
    """The code of a failure, or "away", or "decoded" where a photo was read."""
    loader = ImageLoader(
        roots=roots, decode=decode_image, resolution=Resolution(), max_bytes=max_bytes, max_pixels=10_000
    )
    image = loader.load(ImageReference(item_id=1, uri=uri_from_path(path))).image
    if isinstance(image, AwayError):
        return "away"
    return image.code if isinstance(image, ImageFailure) else "decoded"


def test_objects_of_any_key_are_listed_and_read_as_themselves(storage: Storage) -> None:
    bucket = storage.make_bucket("keys", {f"photos/{key}": key.encode() for key in ODD_KEYS})
    roots = storage.roots("s3://keys/photos")
    for key in ODD_KEYS:
        path = bucket.path(f"photos/{key}")
        assert roots.read(path, max_bytes=100) == key.encode()
        assert roots.stat(path).size_bytes == len(key.encode())
        with roots.open(path) as file:
            assert file.size_bytes == len(key.encode())
            assert file.content.read(3) + file.content.read(100) == key.encode()
            assert file.content.read(1) == b""
    page = roots.objects.page(bucket.path("photos"), recursive=True)
    assert {path for path, _ in page.files} == {bucket.path(f"photos/{key}") for key in ODD_KEYS}
    assert all(roots.stat(path) == status for path, status in page.files)
    listed = {entry.name: entry.kind for entry in roots.entries(bucket.path("photos"))}
    assert listed[b"a.jpg"] == "file"
    assert listed[b"deep"] == listed[b"%2e%2e"] == "directory"


def test_a_directory_of_many_pages_is_listed_whole(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych_common.media.object_store.PAGE_OBJECTS", 2)
    names = [f"{number}.jpg" for number in range(5)]
    bucket = storage.make_bucket("pages", {f"photos/{name}": b"1" for name in (*names, "below/a.jpg")})
    roots = storage.roots("s3://pages/photos")
    assert sorted(entry.name.decode() for entry in roots.entries(bucket.path("photos"))) == [*names, "below"]


def test_nothing_outside_the_roots_is_read_and_nobody_learns_whether_it_is_there(storage: Storage) -> None:
    storage.make_bucket("ours", {"photos/a.jpg": b"1", "private/a.jpg": b"1"})
    storage.make_bucket("theirs", {"photos/a.jpg": b"1", "a.jpg": b"1"})
    roots = storage.roots("s3://ours/photos")
    paths = [
        b"s3://ours/private/a.jpg",
        b"s3://ours/private/none.jpg",
        b"s3://theirs/photos/a.jpg",
        b"s3://nobodys/photos/a.jpg",
        b"s3://ours/photos/../private/a.jpg",
        b"s3://ours/photos/../../theirs/a.jpg",
        b"s3://ours/photos//a.jpg",
    ]
    uris = [*map(uri_from_path, paths), "s3://ours/photos/%2e%2e/private/a.jpg", "s3://ours/photos/..%2Fprivate/a.jpg"]
    loader = ImageLoader(roots=roots, decode=decode_image, resolution=Resolution(), max_bytes=1000, max_pixels=1000)
    told = set()
    for uri in uris:
        image = loader.load(ImageReference(item_id=1, uri=uri)).image
        assert isinstance(image, ImageFailure)
        told.add((image.code, image.message))
    assert told == {("path_not_allowed", "The photo lies outside the media roots of this service.")}


def test_what_cannot_be_read_is_told_by_name(storage: Storage) -> None:
    bucket = storage.make_bucket("named", {"large.jpg": b"1" * 1001, "empty.jpg": b"", "text.jpg": b"no photo"})
    roots = storage.roots("s3://named", "s3://no-such-bucket")
    assert code(roots, bucket.path("none.jpg")) == "not_found"
    assert code(roots, b"s3://no-such-bucket/a.jpg") == "not_found"
    assert code(roots, bucket.path("large.jpg")) == "too_large"
    assert code(roots, bucket.path("empty.jpg")) == "empty_file"
    assert code(roots, bucket.path("text.jpg")) == "unsupported_format"


def test_a_store_that_refuses_the_keys_is_no_store_that_is_away(storage: Storage) -> None:
    bucket = storage.make_bucket("forbidden", {"a.jpg": b"1"})
    roots = storage.roots("s3://forbidden")
    with storage.knowing_nobody():
        assert code(roots, bucket.path("a.jpg")) == "permission_denied"
        with pytest.raises(PermissionError):
            list(roots.entries(bucket.path()))
    assert code(roots, bucket.path("a.jpg")) == "unsupported_format"


def test_a_store_that_is_away_says_nothing_about_a_photo(storage: Storage) -> None:
    bucket = storage.make_bucket("absent", {"a.jpg": b"1"})
    roots = storage.roots("s3://absent")
    storage.stop()
    try:
        assert code(roots, bucket.path("a.jpg")) == "away"
        with pytest.raises(AwayError) as caught:
            roots.stat(bucket.path("a.jpg"))
        assert (caught.value.reason, caught.value.retry_after_seconds) == ("STORE_AWAY", 2.0)
    finally:
        storage.start()
    # It is asked again, if not at once.
    wait_for(lambda: code(roots, bucket.path("a.jpg")) == "unsupported_format", "the store is asked again")


@contextmanager
def answering(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[StoreAccess]:
    """A server that answers every question so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield StoreAccess(
                endpoint_url=f"http://127.0.0.1:{server.server_port}",
                region="us-east-1",
                access_key_id="k",
                secret_access_key="s",
            )
        finally:
            server.shutdown()
            thread.join()


def refusal(status: int, error: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """An answer of S3 that is an error."""
    body = f"<Error><Code>{error}</Code><Message>{error} of a key</Message></Error>".encode()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (503, "SlowDown", "away"),
        (429, "TooManyRequests", "away"),
        (504, "GatewayTimeout", "away"),
        (400, "ExpiredToken", "away"),
        (403, "RequestTimeTooSkewed", "away"),
        (403, "AccessDenied", "permission_denied"),
        (403, "SignatureDoesNotMatch", "permission_denied"),
        (403, "InvalidObjectState", "read_failed"),
        (404, "NoSuchKey", "not_found"),
        (404, "NoSuchBucket", "not_found"),
        (500, "InternalError", "read_failed"),
        (400, "InvalidArgument", "read_failed"),
    ],
)
def test_each_refusal_of_a_store_has_its_meaning(status: int, error: str, told: str) -> None:
    with answering(refusal(status, error)) as access:
        assert code(MediaRoots(["s3://bucket"], access), b"s3://bucket/a.jpg") == told


def test_an_answer_that_breaks_off_is_asked_for_again_and_then_given_up() -> None:
    asked: list[str] = []

    def break_off(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.send_header("ETag", '"1"')
        request.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        request.end_headers()
        request.wfile.write(b"\xff\xd8\xff")

    with answering(break_off) as access:
        assert code(MediaRoots(["s3://bucket"], access), b"s3://bucket/a.jpg") == "read_failed"
    assert asked == ["/bucket/a.jpg"] * 3


def test_a_body_larger_than_allowed_is_not_read() -> None:
    sent: list[int] = []

    def flood(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(10**9))
        request.send_header("ETag", '"1"')
        request.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        request.end_headers()
        try:
            while True:
                sent.append(request.wfile.write(b"\0" * 2**16))
        except OSError:
            pass

    with answering(flood) as access:
        assert code(MediaRoots(["s3://bucket"], access), b"s3://bucket/a.jpg") == "too_large"
    assert sum(sent) < 10**8


def test_no_other_server_is_asked_than_the_one_that_is_configured() -> None:
    asked: list[str] = []

    def note(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        refusal(404, "NoSuchKey")(request)

    with answering(note) as elsewhere:

        def redirect(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(307)
            request.send_header("Location", f"{elsewhere.endpoint_url}/bucket/a.jpg")
            request.send_header("Content-Length", "0")
            request.end_headers()

        with answering(redirect) as access:
            assert code(MediaRoots(["s3://bucket"], access), b"s3://bucket/a.jpg") == "read_failed"
    assert asked == []


def test_without_its_package_a_bucket_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for module in ("object_store", "object_client"):
        monkeypatch.delitem(sys.modules, f"triptych_common.media.{module}", raising=False)
    with pytest.raises(ConfigurationError, match=r"s3://bucket is in object storage.*triptych-common\[s3\]"):
        MediaRoots(["s3://bucket", str(tmp_path)])
    assert MediaRoots([str(tmp_path)]).all == (str(tmp_path.resolve()).encode(),)
