"""Files that are gone are noticed where a walk really looked, and nowhere else."""

import os
import shutil

import pytest

from tests.support.catalogue import FACES
from tests.support.photo_library import PhotoLibrary
from triptych_gateway.catalog.clustering.face_space import count_space


async def test_deleted_files_are_missing_and_are_back_when_they_are_found_again(library: PhotoLibrary) -> None:
    for name in ("a.jpg", "b.jpg", "sub/c.jpg"):
        library.photo(name, modified=1)
    await library.trained()
    before = await library.rows()

    (library.root / "a.jpg").unlink()
    shutil.rmtree(library.root / "sub")
    session_id = await library.found()

    assert await library.missing() == ["a.jpg", "sub/c.jpg"]
    assert await library.of_session(session_id) == ["b.jpg"]
    async with library.engine.connect() as connection:
        assert await count_space(connection, model_id=FACES) == 1

    for name in ("a.jpg", "sub/c.jpg"):
        library.photo(name, modified=1)

    assert await library.trained() == []
    assert await library.rows() == before


async def test_a_file_that_came_back_with_another_content_is_a_new_version(library: PhotoLibrary) -> None:
    path = library.photo("a.jpg")
    await library.trained()
    path.unlink()
    await library.found()

    library.photo("a.jpg", "something else")

    assert await library.trained() == ["a.jpg"]
    row = (await library.rows())["a.jpg"]
    assert (row.version, row.is_missing) == (2, False)


async def test_only_what_was_walked_is_looked_through(library: PhotoLibrary) -> None:
    for name in ("a/1.jpg", "a/deep/2.jpg", "b/3.jpg", "c.jpg", "a-b/4.jpg"):
        library.photo(name)
    await library.found()
    for name in ("a", "b", "a-b"):
        shutil.rmtree(library.root / name)
    (library.root / "c.jpg").unlink()

    (library.root / "a").mkdir()
    await library.found(library.root / "a", recursive=False)
    assert await library.missing() == ["a/1.jpg"]
    await library.found(library.root / "a")
    assert await library.missing() == ["a/1.jpg", "a/deep/2.jpg"]
    await library.found()
    assert await library.missing() == ["a-b/4.jpg", "a/1.jpg", "a/deep/2.jpg", "b/3.jpg", "c.jpg"]


async def test_a_chosen_directory_that_is_away_hides_nothing(library: PhotoLibrary) -> None:
    library.photo("volume/1.jpg")
    await library.found()
    shutil.rmtree(library.root / "volume")

    session_id = await library.found(library.root / "volume")

    assert (await library.missing(), await library.problems(session_id)) == ([], {"volume": "not_found"})


async def test_files_that_the_session_does_not_look_for_are_not_missing(library: PhotoLibrary) -> None:
    library.photo("a.jpg")
    library.photo("b.png")
    await library.found()

    await library.found(extensions=["PNG"])

    assert await library.missing() == []


async def test_nothing_is_told_of_ignored_directories(library: PhotoLibrary) -> None:
    library.photo("a/1.jpg")
    library.photo("a/deep/2.jpg")
    await library.found()
    await library.ignore("a")
    shutil.rmtree(library.root / "a")

    await library.found()

    assert await library.missing() == []


async def test_nothing_is_told_of_folders_that_cannot_be_read(
    library: PhotoLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.photo("closed/1.jpg")
    await library.found()
    (library.root / "closed" / "1.jpg").unlink()
    listed = os.scandir

    def scandir(path: bytes) -> object:
        # Root may read everything: the refusal is played.
        if path.endswith(b"/closed"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    session_id = await library.found()

    assert (await library.missing(), await library.problems(session_id)) == ([], {"closed": "permission_denied"})


async def test_a_file_in_place_of_a_directory_means_that_what_it_held_is_gone(library: PhotoLibrary) -> None:
    library.photo("a/deep/1.jpg")
    await library.found()
    shutil.rmtree(library.root / "a")
    library.photo("a")

    await library.found()

    assert await library.missing() == ["a/deep/1.jpg"]
