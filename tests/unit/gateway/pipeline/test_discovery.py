"""Discovery on real directories: what is found, what is left out, and what is recorded as a problem."""

import os
import socket
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from triptych_common.media.locations import MediaRoots
from triptych_gateway.catalog.library.photos import MAX_PATH_BYTES, FoundPhoto, Problem
from triptych_gateway.pipeline.discovery.directory_tree import count_photos
from triptych_gateway.pipeline.discovery.listing import (
    SYSTEM_DIRECTORIES,
    TreeOptions,
    ignored_paths,
    normalised_extension,
)
from triptych_gateway.pipeline.discovery.walking import WalkedDirectory, discover


@pytest.fixture
def library() -> Iterator[Path]:
    """A media root that every user may look into."""
    with tempfile.TemporaryDirectory(prefix="triptych-tests-") as folder:
        root = Path(folder).resolve() / "library"
        root.mkdir()
        root.parent.chmod(0o755)
        yield root


def photo(directory: Path, name: str | bytes) -> bytes:
    path = os.path.join(os.fsencode(directory), os.fsencode(name))  # noqa: PTH118 - names are bytes
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"12345")
    return path


def walk(root: Path, *chosen: Path, **options: Any) -> tuple[list[bytes], dict[bytes, str]]:
    """Paths of the photos found, in order, and the problems' codes by path."""
    directories = tuple(os.fsencode(one) for one in chosen or (root,))
    found = list(discover(TreeOptions(directories=directories, **options), MediaRoots([str(root)])))
    photos = [one.path for one in found if isinstance(one, FoundPhoto)]
    return photos, {one.path: one.code for one in found if isinstance(one, Problem)}


def test_a_photo_whose_path_is_longer_than_can_be_recorded_is_told_of_and_passed(library: Path) -> None:
    deep = library
    while len(os.fsencode(deep)) < MAX_PATH_BYTES - 250:
        deep /= "d" * 200
    below = deep / ("b" * 200)
    below.mkdir(parents=True)
    longest = photo(deep, "p" * (MAX_PATH_BYTES - len(os.fsencode(deep)) - 5) + ".jpg")
    too_long = photo(below, "p" * 200 + ".jpg")

    assert len(longest) == MAX_PATH_BYTES
    assert walk(library) == ([longest], {too_long: "path_too_long"})


def test_photos_are_found_in_the_order_of_their_paths_with_size_and_time(library: Path) -> None:
    (library / "b").mkdir()
    paths = [photo(library, "z.jpg"), photo(library / "b", "a.jpg"), photo(library / "b", "b.jpg")]
    os.utime(paths[0], ns=(1, 1_700_000_000_123_456_789))

    photos, problems = walk(library)

    assert (photos, problems) == (paths, {})
    first = next(discover(TreeOptions(directories=(os.fsencode(library),)), MediaRoots([str(library)])))
    assert first == FoundPhoto(path=paths[0], size_bytes=5, modified_ns=1_700_000_000_123_456_789)


def test_extensions_count_in_any_case_and_nothing_else_is_a_photo(library: Path) -> None:
    wanted = [photo(library, name) for name in ("a.JPG", "b.Jpeg", "c.PnG")]
    for name in ("d.txt", "jpg", "e.jpg.bak", "f.jp\udcffg", "g."):
        photo(library, name)

    assert walk(library)[0] == wanted
    assert walk(library, extensions=frozenset({".png"}))[0] == wanted[2:]


def test_extensions_that_a_client_names_count_in_any_case_with_or_without_their_dot(library: Path) -> None:
    wanted = [photo(library, name) for name in ("a.JPG", "b.CR9", "c.pÑg")]
    photo(library, "d.png")
    named = frozenset(map(normalised_extension, ("jpg", ".Cr9", " .PÑG")))

    assert walk(library, extensions=named)[0] == wanted


def test_names_that_are_no_text_are_found(library: Path) -> None:
    names = [b"caf\xe9.jpg", b"\xff\xfe.png", "größe 😀.jpg".encode(), b"new\nline.jpg", b"-rf.jpg", b"%2F..%00.jpg"]
    paths = sorted(photo(library, name) for name in names)
    os.mkdir(os.fsencode(library) + b"/d\xe9\nr")  # noqa: PTH102
    paths.append(photo(library, b"d\xe9\nr/a.jpg"))

    assert sorted(walk(library)[0]) == sorted(paths)


def test_hidden_names_and_what_devices_and_systems_keep_are_left_out(library: Path) -> None:
    for directory in (".Trash", ".hidden", *(os.fsdecode(name) for name in SYSTEM_DIRECTORIES)):
        (library / directory).mkdir()
        photo(library / directory, "a.jpg")
    photo(library, ".hidden.jpg")
    photo(library, "._resource.jpg")
    wanted = photo(library, "a.jpg")

    assert walk(library) == ([wanted], {})


def test_what_systems_keep_is_left_out_however_it_is_written(library: Path) -> None:
    for directory in ("@EADIR", "#Recycle", "$Recycle.Bin", ".Trash-1000", ".Trashes"):
        (library / directory).mkdir()
        photo(library / directory, "a.jpg")

    assert walk(library) == ([], {})


def test_ignored_directories_are_left_out_by_any_way_that_leads_there(library: Path) -> None:
    (library / "a" / "deep").mkdir(parents=True)
    (library / "b").mkdir()
    photo(library / "a", "1.jpg")
    photo(library / "a" / "deep", "2.jpg")
    wanted = photo(library / "b", "3.jpg")
    (library / "b" / "again").symlink_to(library / "a" / "deep")
    ignored = ignored_paths([os.fsencode(library / "a")])

    assert walk(library, ignored=ignored) == ([wanted], {})
    assert walk(library, library / "a" / "deep", ignored=ignored) == (
        [],
        {os.fsencode(library / "a" / "deep"): "directory_ignored"},
    )


def test_photos_are_counted_as_they_are_found(library: Path) -> None:
    (library / "a" / "b").mkdir(parents=True)
    for directory, name in ((library, "1.jpg"), (library / "a", "2.png"), (library / "a" / "b", "3.heic")):
        photo(directory, name)
    options = TreeOptions(directories=(os.fsencode(library),))

    counted = count_photos(options, MediaRoots([str(library)]), seconds=60)
    cut_short = count_photos(options, MediaRoots([str(library)]), seconds=-1)

    assert (counted.photos, counted.is_complete) == (3, True)
    assert (cut_short.photos, cut_short.is_complete) == (1, False)


def test_a_directory_counts_as_walked_once_all_of_it_was_told(library: Path) -> None:
    (library / "a").mkdir()
    paths = [photo(library, "1.jpg"), photo(library / "a", "2.jpg")]
    options = TreeOptions(directories=(os.fsencode(library),))

    entries = [one.path for one in discover(options, MediaRoots([str(library)]))]

    assert entries == [paths[0], os.fsencode(library), paths[1], os.fsencode(library / "a")]


def test_a_photo_that_goes_away_while_its_directory_is_read_is_not_found(library: Path) -> None:
    names = [photo(library, "1.jpg"), photo(library, "2.jpg")]
    walking = discover(TreeOptions(directories=(os.fsencode(library),)), MediaRoots([str(library)]))
    next(walking)
    os.remove(names[1])  # noqa: PTH107

    assert list(walking) == [WalkedDirectory(path=os.fsencode(library))]


def test_a_directory_of_very_many_photos_is_held_by_name_only(library: Path) -> None:
    count = 10_000
    for number in range(count):
        os.mknod(library / f"IMG_{number:06}.JPG")
    walking = discover(TreeOptions(directories=(os.fsencode(library),)), MediaRoots([str(library)]))

    tracemalloc.start()
    try:
        found = sum(1 for _ in walking)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # An entry of os.scandir that was looked at takes more than 500 bytes.
    assert found == count + 1
    assert peak_bytes / count < 200


def test_without_recursion_only_the_chosen_directories_are_read(library: Path) -> None:
    (library / "a" / "b").mkdir(parents=True)
    photo(library / "a" / "b", "deep.jpg")
    wanted = [photo(library / "a", "1.jpg")]
    photo(library, "root.jpg")

    assert walk(library, library / "a", recursive=False) == (wanted, {})


def test_a_circle_of_links_ends(library: Path) -> None:
    (library / "a").mkdir()
    wanted = photo(library / "a", "1.jpg")
    (library / "a" / "up").symlink_to(library)
    (library / "a" / "self").symlink_to(".")
    (library / "a" / "never").symlink_to("never")

    photos, problems = walk(library)

    assert photos == [wanted]
    assert problems == {os.fsencode(library / "a" / name): "symlink_loop" for name in ("up", "self")}


def test_a_directory_that_two_links_lead_to_is_walked_once(library: Path) -> None:
    (library / "real").mkdir()
    photo(library / "real", "1.jpg")
    (library / "a").symlink_to("real")
    (library / "b").symlink_to("real")

    links = {os.fsencode(library / name): "symlink_loop" for name in ("a", "b")}
    assert walk(library) == ([os.fsencode(library / "real" / "1.jpg")], links)


def test_directories_chosen_inside_each_other_are_no_problem(library: Path) -> None:
    (library / "a" / "b").mkdir(parents=True)
    wanted = photo(library / "a" / "b", "1.jpg")

    assert walk(library, library / "a", library / "a" / "b", library / "a") == ([wanted], {})


def test_links_that_lead_out_of_the_roots_are_not_followed(library: Path) -> None:
    outside = library.parent / "outside"
    outside.mkdir()
    photo(outside, "secret.jpg")
    (library / "out").symlink_to(outside)
    (library / "etc").symlink_to("/etc")

    assert walk(library) == ([], {os.fsencode(library / name): "path_not_allowed" for name in ("out", "etc")})


def test_a_chosen_directory_that_came_to_lie_outside_the_roots_is_not_read(library: Path) -> None:
    outside = library.parent / "outside"
    outside.mkdir()
    photo(outside, "secret.jpg")

    assert walk(library, outside) == ([], {os.fsencode(outside): "path_not_allowed"})


def test_a_photo_behind_a_dead_link_is_left_to_its_reader_to_explain(library: Path) -> None:
    (library / "dead.jpg").symlink_to("nowhere.jpg")
    (library / "dead").symlink_to("nowhere")

    assert walk(library) == ([os.fsencode(library / "dead.jpg")], {})


def test_pipes_sockets_and_directories_named_like_photos_are_no_photos(library: Path) -> None:
    os.mkfifo(library / "pipe.jpg")
    (library / "directory.jpg").mkdir()
    inside = photo(library / "directory.jpg", "a.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(library / "s.jpg"))

        assert walk(library) == ([inside], {})


def test_what_is_gone_or_no_directory_is_a_problem_and_the_rest_is_read(library: Path) -> None:
    wanted = photo(library, "a.jpg")
    (library / "sub").mkdir()

    photos, problems = walk(library, library / "gone", library / "a.jpg", library)

    assert photos == [wanted]
    assert problems == {
        os.fsencode(library / "gone"): "not_found",
        os.fsencode(library / "a.jpg"): "not_a_directory",
    }


_AS_ANOTHER_USER = """
import os, sys
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
from triptych_common.media.locations import MediaRoots
from triptych_gateway.pipeline.discovery.listing import TreeOptions
from triptych_gateway.pipeline.discovery.walking import discover
root = os.fsencode(sys.argv[1])
for one in discover(TreeOptions(directories=(root,)), MediaRoots([sys.argv[1]])):
    if type(one).__name__ != "WalkedDirectory":
        print(type(one).__name__, os.path.relpath(one.path, root).decode(), getattr(one, "code", ""))
"""


def test_a_folder_that_may_not_be_read_is_a_problem_and_its_photos_are_not_guessed(library: Path) -> None:
    closed = library / "closed"
    closed.mkdir()
    photo(closed, "a.jpg")
    photo(library, "b.jpg")
    closed.chmod(0)

    try:
        # Root would read it all the same. What is imported lies where the other user may not pass: root imports it.
        program = _AS_ANOTHER_USER.replace("import os, sys\n", "import os, sys\n" + _IMPORTS, 1)
        said = subprocess.run(
            [sys.executable, "-c", program, str(library)], capture_output=True, text=True, check=True, timeout=60
        )
    finally:
        closed.chmod(0o700)

    assert said.stdout.splitlines() == ["FoundPhoto b.jpg ", "Problem closed permission_denied"]


_IMPORTS = "import triptych_common.media.locations, triptych_gateway.pipeline.discovery.walking\n"
