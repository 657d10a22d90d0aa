"""A second session over the same directory: only what is new or changed is work."""

import os

from tests.support.photo_library import PhotoLibrary


async def test_a_second_session_embeds_only_new_and_changed_photos(library: PhotoLibrary) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        library.photo(name)
    assert await library.trained() == ["a.jpg", "b.jpg", "c.jpg"]
    before = await library.rows()

    library.photo("b.jpg", "another content")
    library.photo("sub/d.jpg")

    assert await library.trained() == ["b.jpg", "sub/d.jpg"]
    after = await library.rows()
    assert {name: after[name].id for name in before} == {name: row.id for name, row in before.items()}
    assert {name: row.version for name, row in after.items()} == {"a.jpg": 1, "b.jpg": 2, "c.jpg": 1, "sub/d.jpg": 1}


async def test_a_touched_file_of_the_same_content_is_not_work(library: PhotoLibrary) -> None:
    library.photo("a.jpg", modified=1)
    library.photo("b.jpg", "old", modified=1)
    await library.trained()

    library.photo("a.jpg", modified=2)
    library.photo("b.jpg", "new", modified=2)

    assert await library.trained() == ["b.jpg"]
    # Its new time is known from now on.
    assert await library.trained() == []
    assert {name: row.version for name, row in (await library.rows()).items()} == {"a.jpg": 1, "b.jpg": 2}


async def test_a_touched_file_that_was_never_read_is_taken_for_a_changed_one(library: PhotoLibrary) -> None:
    path = library.photo("a.jpg", modified=1)
    await library.found()
    os.utime(path, (2, 2))

    await library.found()

    assert (await library.rows())["a.jpg"].version == 2


async def test_a_photo_behind_a_link_that_died_keeps_its_results(library: PhotoLibrary) -> None:
    target = library.photo(".elsewhere/a.jpg")
    (library.root / "a.jpg").symlink_to(target)
    await library.trained()
    before = await library.rows()

    target.unlink()
    await library.found()

    assert await library.rows() == before


async def test_overlapping_directories_list_a_photo_once(library: PhotoLibrary) -> None:
    library.photo("a/1.jpg")
    library.photo("a/b/2.jpg")

    session_id = await library.found(library.root / "a" / "b", library.root / "a", library.root / "a")

    assert await library.of_session(session_id) == ["a/1.jpg", "a/b/2.jpg"]
    assert await library.problems(session_id) == {}


async def test_ignored_directories_are_left_out_and_a_chosen_one_is_told(library: PhotoLibrary) -> None:
    library.photo("a/1.jpg")
    library.photo("b/2.jpg")
    await library.ignore("a")

    session_id = await library.found()
    chosen = await library.found(library.root / "a")

    assert await library.of_session(session_id) == ["b/2.jpg"]
    assert (await library.of_session(chosen), await library.problems(chosen)) == ([], {"a": "directory_ignored"})
