"""Files that moved keep their rows, and so their results, faces and names; no photo is there twice."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.support.photo_library import PhotoLibrary
from triptych_gateway.catalog.library import moves, photos
from triptych_gateway.catalog.library.moves import KnownPhoto, Move
from triptych_gateway.catalog.library.photos import FoundPhoto
from triptych_gateway.catalog.sessions import sessions
from triptych_gateway.pipeline.discovery import photo_discovery


def move(library: PhotoLibrary, *steps: tuple[str, str]) -> None:
    for old, new in steps:
        (library.root / new).parent.mkdir(parents=True, exist_ok=True)
        (library.root / old).rename(library.root / new)


async def test_moved_files_keep_their_rows(library: PhotoLibrary) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg"):
        library.photo(name)
    await library.trained()
    before = await library.rows()

    move(library, ("a/1.jpg", "a/renamed.jpg"), ("a/2.jpg", "c/2.jpg"))

    assert await library.trained() == []
    assert await library.rows() == {
        "a/renamed.jpg": before["a/1.jpg"],
        "c/2.jpg": before["a/2.jpg"],
        "b/3.jpg": before["b/3.jpg"],
    }


async def test_a_whole_directory_moves(library: PhotoLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_discovery, "BATCH", 7)
    names = [f"{number:02}.jpg" for number in range(30)]
    for name in names:
        library.photo(f"old/{name}")
    await library.trained()
    before = await library.ids()

    move(library, ("old", "new/place"))

    assert await library.trained() == []
    assert await library.ids() == {f"new/place/{name}": before[f"old/{name}"] for name in names}
    assert await library.missing() == []
    async with library.engine.connect() as connection:
        counted = await connection.exec_driver_sql("SELECT path, photo_count, trained_count FROM directories")
        assert {os.path.basename(row.path): tuple(row)[1:] for row in counted} == {  # noqa: PTH119
            b"old": (0, 0),
            b"place": (30, 30),
        }


async def test_a_file_comes_from_a_directory_that_is_not_walked(library: PhotoLibrary) -> None:
    library.photo("a/1.jpg")
    await library.trained()
    before = await library.ids()

    move(library, ("a/1.jpg", "b/1.jpg"))

    assert await library.trained(library.root / "b") == []
    assert await library.ids() == {"b/1.jpg": before["a/1.jpg"]}


async def test_a_missing_photo_is_found_where_it_was_moved_to_later(library: PhotoLibrary) -> None:
    library.photo("a/1.jpg")
    await library.trained()
    before = await library.rows()
    outside = library.root.parent / "outside.jpg"
    (library.root / "a/1.jpg").rename(outside)
    await library.found()
    assert await library.missing() == ["a/1.jpg"]

    outside.rename(library.root / "back.jpg")

    assert await library.trained() == []
    assert await library.rows() == {"back.jpg": before["a/1.jpg"]}


async def test_a_copy_is_a_photo_of_its_own(library: PhotoLibrary) -> None:
    library.photo("a.jpg", "same")
    await library.trained()
    before = await library.rows()

    shutil.copy2(library.root / "a.jpg", library.root / "b.jpg")

    assert await library.trained() == ["b.jpg"]
    assert (await library.rows())["a.jpg"] == before["a.jpg"]


async def test_another_file_of_the_same_size_is_not_the_one_that_is_gone(library: PhotoLibrary) -> None:
    library.photo("a.jpg", "12345")
    await library.trained()
    (library.root / "a.jpg").unlink()
    library.photo("b.jpg", "54321")

    assert await library.trained() == ["b.jpg"]
    assert await library.missing() == ["a.jpg"]


async def test_many_files_of_the_same_content_move_each_once_and_by_name(library: PhotoLibrary) -> None:
    for number in range(6):
        library.photo(f"a/{number}.jpg", "the same")
    await library.trained()
    before = await library.ids()

    move(library, *((f"a/{number}.jpg", f"b/{number}.jpg") for number in range(4)), ("a/4.jpg", "b/0-new.jpg"))
    library.photo("b/copy.jpg", "the same")
    library.photo("b/another copy.jpg", "the same")

    # Seven files, six of them known: a/5.jpg stayed.
    assert len(await library.trained()) == 2
    after = await library.ids()
    kept = {f"b/{number}.jpg": before[f"a/{number}.jpg"] for number in range(4)} | {"a/5.jpg": before["a/5.jpg"]}
    assert after.items() >= kept.items()
    assert before["a/4.jpg"] in after.values()
    assert len(set(after.values())) == 8
    assert await library.missing() == []


@pytest.mark.parametrize("batch", [1, 1000])
@pytest.mark.parametrize("contents", [("one", "longer"), ("one", "two")], ids=["other sizes", "the same size"])
async def test_two_files_change_places(
    library: PhotoLibrary, monkeypatch: pytest.MonkeyPatch, batch: int, contents: tuple[str, str]
) -> None:
    monkeypatch.setattr(photo_discovery, "BATCH", batch)
    library.photo("a.jpg", contents[0], modified=1)
    library.photo("b.jpg", contents[1], modified=2)
    await library.trained()
    before = await library.rows()

    move(library, ("a.jpg", "aside"), ("b.jpg", "a.jpg"), ("aside", "b.jpg"))

    assert await library.trained() == []
    assert await library.rows() == {"a.jpg": before["b.jpg"], "b.jpg": before["a.jpg"]}


@pytest.mark.parametrize("batch", [1, 2, 1000])
@pytest.mark.parametrize("names", ["abcd", "dcba", "bdac"])
async def test_files_take_each_others_places_in_a_chain(
    library: PhotoLibrary, monkeypatch: pytest.MonkeyPatch, batch: int, names: str
) -> None:
    monkeypatch.setattr(photo_discovery, "BATCH", batch)
    first, second, third, free = (f"{name}.jpg" for name in names)
    for length, name in enumerate((first, second, third), start=1):
        library.photo(name, "x" * length, modified=length)
    await library.trained()
    before = await library.rows()

    move(library, (third, free), (second, third), (first, second))

    assert await library.trained() == []
    assert await library.rows() == {second: before[first], third: before[second], free: before[third]}


@pytest.mark.parametrize("batch", [1, 1000])
async def test_a_file_that_another_one_was_moved_over_is_missing(
    library: PhotoLibrary, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(photo_discovery, "BATCH", batch)
    library.photo("a.jpg", "of a", modified=1)
    library.photo("b.jpg", "what b holds", modified=2)
    await library.trained()
    before = await library.ids()

    move(library, ("b.jpg", "a.jpg"))

    assert await library.trained() == []
    assert await library.ids() == {"a.jpg": before["b.jpg"]}
    assert [row.id for row in (await library.rows()).values() if row.is_missing] == [before["a.jpg"]]


async def test_a_name_that_only_changes_its_case_is_a_move(library: PhotoLibrary) -> None:
    library.photo("Trip/IMG.JPG")
    await library.trained()
    before = await library.rows()

    move(library, ("Trip/IMG.JPG", "trip/img.jpg"))
    (library.root / "Trip").rmdir()

    assert await library.trained() == []
    assert await library.rows() == {"trip/img.jpg": before["Trip/IMG.JPG"]}


async def test_a_root_that_is_away_has_lost_no_photo(library: PhotoLibrary) -> None:
    library.photo("volume/1.jpg", "same")
    await library.trained()
    before = await library.ids()
    await asyncio.to_thread((library.root / "volume").rename, library.root.parent / "unplugged")
    library.photo("copy/1.jpg", "same")

    # The volume is no root of this library any more: nobody can tell whether its photos are gone.
    only = PhotoLibrary(engine=library.engine, root=library.root / "copy")
    assert await only.trained() == ["1.jpg"]

    assert (await library.ids()).items() >= before.items()


async def test_a_discovery_that_was_interrupted_begins_again_and_ends_as_it_would_have(
    library: PhotoLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_discovery, "BATCH", 2)
    for number in range(8):
        library.photo(f"a/{number}.jpg", modified=number + 1)
    await library.trained()
    before = await library.ids()
    move(library, ("a", "b"))
    library.photo("b/new.jpg")
    (library.root / "b" / "7.jpg").unlink()
    owned = await library.take()
    real, calls = photos.add_photos, 0

    async def add_photos(*arguments: object, **named: object) -> None:
        nonlocal calls
        calls += 1
        if calls in (1, 3):
            raise ConnectionResetError
        await real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(photos, "add_photos", add_photos)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            await library.discover(owned)

    assert await library.discover(owned) == 8
    assert await library.ids() == {f"b/{n}.jpg": before[f"a/{n}.jpg"] for n in range(7)} | {
        "b/new.jpg": (await library.ids())["b/new.jpg"]
    }
    assert await library.missing() == ["a/7.jpg"]
    assert len(await library.of_session(owned.session_id)) == 8


async def test_a_move_that_another_session_made_first_is_not_made_again(library: PhotoLibrary) -> None:
    library.photo("a.jpg")
    await library.trained()
    async with library.engine.begin() as connection:
        known = (await moves.known_photos(connection, [os.fsencode(library.root / "a.jpg")])).popitem()[1]
        stale = Move(known=known, found=_found(library.root / "b.jpg", known))

        await moves.move_photos(connection, [Move(known=known, found=_found(library.root / "c.jpg", known))])
        await moves.move_photos(connection, [stale])

    assert list(await library.rows()) == ["c.jpg"]


async def test_two_sessions_over_the_same_moved_files_find_each_once(library: PhotoLibrary) -> None:
    for number in range(40):
        library.photo(f"a/{number}.jpg")
    await library.trained()
    before = await library.ids()
    move(library, ("a", "b"))
    owned = [await library.take() for _ in range(3)]

    counts = await asyncio.gather(*(library.discover(one) for one in owned))

    assert counts == [40, 40, 40]
    assert await library.ids() == {f"b/{n}.jpg": before[f"a/{n}.jpg"] for n in range(40)}
    assert await library.missing() == []


async def test_what_is_found_is_counted_while_it_is_found(
    library: PhotoLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_discovery, "BATCH", 2)
    for number in range(5):
        library.photo(f"{number}.jpg")
    owned = await library.take()
    real, seen = sessions.count_found, []

    async def count_found(connection: object, session_id: int, photos_found: int) -> None:
        async with library.engine.connect() as other:
            session = await sessions.get_session(other, session_id)
        seen.append((session.photos_found, session.updated_at))
        await real(connection, session_id, photos_found)  # type: ignore[arg-type]

    monkeypatch.setattr(sessions, "count_found", count_found)
    await library.discover(owned)

    assert [count for count, _ in seen] == [0, 2, 4]
    assert sorted({moment for _, moment in seen}) == [moment for _, moment in seen]


def _found(path: Path, known: KnownPhoto) -> FoundPhoto:
    return FoundPhoto(
        path=os.fsencode(path),
        size_bytes=known.size_bytes,
        modified_ns=known.modified_ns,
        content_sha256=known.content_sha256,
    )
