"""Discovery of photos in buckets: what is new, changed, moved or gone is found without reading, and nothing is lost."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.bucket_library import BucketLibrary
from tests.support.object_storage import Storage
from triptych_gateway.pipeline.retrying import Backoff


@pytest.fixture
def library(engine: AsyncEngine, storage: Storage, tmp_path: Path) -> Iterator[BucketLibrary]:
    root = tmp_path.resolve() / "beside"
    root.mkdir()
    yield BucketLibrary(engine=engine, root=root, bucket=storage.make_bucket(f"bucket-{uuid.uuid4().hex}"))


async def test_photos_of_all_depths_are_found_and_nothing_else(
    library: BucketLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triptych_common.media.object_store.PAGE_OBJECTS", 3)
    wanted = ["1.jpg", "a/2.JPG", "a/b/3.png", "a/c.jpg", "été ü/%2e%2e/4.jpg", "z.heic"]
    for name in (*wanted, "note.txt", ".hidden.jpg", "a/.trash/5.jpg", "a/@eaDir/6.jpg", "odd//7.jpg", "folder.jpg/"):
        library.put(name)
    library.bucket.put("private/8.jpg", b"8")
    await library.ignore("a/b")

    session_id = await library.found()

    assert await library.of_session(session_id) == sorted(set(wanted) - {"a/b/3.png"})
    assert await library.problems(session_id) == {"odd//7.jpg": "name_not_allowed"}
    assert library.read == []
    flat = await library.found(library.base, recursive=False)
    assert await library.of_session(flat) == ["1.jpg", "z.heic"]


async def test_a_changed_object_is_a_new_version_and_one_that_was_written_again_is_not(library: BucketLibrary) -> None:
    for name in ("changed.jpg", "same.jpg", "touched.jpg"):
        library.put(name)
    assert await library.trained() == ["changed.jpg", "same.jpg", "touched.jpg"]
    before = await library.rows()

    # As many bytes, and in the same second for all that a store tells.
    library.put("changed.jpg", "CHANGED.jpg")
    library.put("touched.jpg")
    library.read.clear()

    assert await library.trained() == ["changed.jpg"]
    after = await library.rows()
    assert after["changed.jpg"].version == before["changed.jpg"].version + 1
    assert after["touched.jpg"] == before["touched.jpg"]
    # Its ETag says that it is the same: only the changed one was read.
    assert {path.rpartition(b"/")[2] for path in library.read} <= {b"changed.jpg"}


async def test_an_object_that_is_gone_is_missing_and_one_that_moved_keeps_its_row(library: BucketLibrary) -> None:
    for name in ("gone.jpg", "stays.jpg", "old/moved.jpg"):
        library.put(name)
    await library.trained()
    ids = await library.ids()

    library.delete("gone.jpg")
    library.put("new/moved.jpg", "old/moved.jpg")
    library.delete("old/moved.jpg")

    assert await library.trained() == []
    assert await library.missing() == ["gone.jpg"]
    assert await library.ids() == {"stays.jpg": ids["stays.jpg"], "new/moved.jpg": ids["old/moved.jpg"]}
    library.put("gone.jpg")
    await library.found()
    assert await library.missing() == []


async def test_photos_move_between_a_bucket_and_a_directory(library: BucketLibrary) -> None:
    library.put("from bucket.jpg")
    file = library.photo("from directory.jpg")
    await library.trained(library.base, library.root)
    before = await library.ids()

    library.put("2024/from directory.jpg", "from directory.jpg")
    file.unlink()
    library.photo("from bucket.jpg", "from bucket.jpg")
    library.delete("from bucket.jpg")

    assert await library.trained(library.base, library.root) == []
    assert await library.ids() == {
        "2024/from directory.jpg": before[str(library.root / "from directory.jpg")],
        str(library.root / "from bucket.jpg"): before["from bucket.jpg"],
    }


async def test_one_session_has_photos_of_directories_and_buckets(library: BucketLibrary) -> None:
    library.put("a/1.jpg")
    library.put("b/2.jpg")
    library.photo("3.jpg")
    session_id = await library.found(library.base + b"/a", library.root)
    assert await library.of_session(session_id) == sorted(["a/1.jpg", str(library.root / "3.jpg")])


async def test_discovery_waits_for_a_store_that_is_away_and_takes_nothing_for_gone(
    library: BucketLibrary, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triptych_common.media.object_store.PAGE_OBJECTS", 2)
    monkeypatch.setattr("triptych_common.media.object_store.RETRY_AFTER_SECONDS", 0.01)
    waits = asyncio.Event()

    async def wait_for_the_test(_: Backoff, __: object = None) -> None:
        waits.set()
        await asyncio.sleep(0.05)

    monkeypatch.setattr(Backoff, "wait", wait_for_the_test)
    names = [f"{number}.jpg" for number in range(5)]
    for name in names:
        library.put(name)
    await library.trained()
    owned = await library.take()

    storage.stop()
    try:
        discovering = asyncio.create_task(library.discover(owned))
        async with asyncio.timeout(60):
            await waits.wait()
    finally:
        storage.start()
    assert await discovering == len(names)
    assert await library.of_session(owned.session_id) == names
    assert await library.missing() == []
    assert await library.problems(owned.session_id) == {}


async def test_of_a_bucket_that_is_gone_or_refused_nothing_is_taken_for_gone(
    library: BucketLibrary, storage: Storage
) -> None:
    library.put("a.jpg")
    await library.trained()
    with storage.knowing_nobody():
        refused = await library.found()
    library.delete("a.jpg")
    storage.call("delete_bucket", Bucket=library.bucket.name)
    gone = await library.found()
    base = library.base.decode()
    assert await library.problems(refused) == {base: "permission_denied"}
    assert await library.problems(gone) == {base: "not_found"}
    assert await library.missing() == []
