"""What lies among photos and is none: links, pipes, sockets, devices, what may not be read, and very deep trees."""

import contextlib
import os
import socket
import stat
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.corpus.hostile import (
    DENIED,
    EMBEDDED,
    LEFT_OUT,
    LOOP,
    NOT_FOUND,
    OUTSIDE,
    TOO_LARGE,
    TOO_LONG,
)

DEEP: Final = 200
_NAME_BYTES: Final = 200
_RECORDED_BYTES: Final = 2000
_TOO_LONG_BYTES: Final = 2900
"""Lengths of paths: well below, and above, what an index of PostgreSQL takes."""
_LINKS: Final = 60
"""More than the kernel follows (path_resolution(7): 40)."""

Expected = dict[bytes, frozenset[str]]
"""Paths, and how each may end; of directories, the codes of the problems that may be told of them."""


def write_special_files(directory: bytes, photo: bytes, *, outside: bytes, most_bytes: int) -> Expected:
    """Files that are none, each with the name of a photo."""
    os.mkdir(directory)  # noqa: PTH102 - paths are bytes here
    ends: dict[bytes, str] = {}

    def path(name: bytes, end: str) -> bytes:
        ends[directory + b"/" + name] = end
        return directory + b"/" + name

    _write(path(b"photo.jpg", EMBEDDED), photo)
    _link(b"photo.jpg", path(b"link.jpg", EMBEDDED))
    _link(b"itself.jpg", path(b"itself.jpg", LOOP))
    _link(b"to-and.jpg", path(b"fro.jpg", LOOP))
    _link(b"fro.jpg", path(b"to-and.jpg", LOOP))
    _link(b"nowhere.jpg", path(b"dangling.jpg", NOT_FOUND))
    _link(b"photo.jpg/below.jpg", path(b"below-a-file.jpg", NOT_FOUND))
    _link(outside, path(b"outside.jpg", OUTSIDE))
    _link(b"/etc/passwd", path(b"passwd.jpg", OUTSIDE))
    _link(b"/proc/self/environ", path(b"environment.jpg", OUTSIDE))
    _link(b"/dev/zero", path(b"zero.jpg", LEFT_OUT))
    before = b"photo.jpg"
    for number in range(_LINKS):
        name = b"chain-%02d.jpg" % number
        _link(before, path(name, EMBEDDED if number < 40 else LOOP))
        before = name
    os.mkfifo(path(b"pipe.jpg", LEFT_OUT))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening, contextlib.chdir(directory):
        # An address holds 107 bytes at most (unix(7)), so it is bound from within.
        listening.bind("socket.jpg")
    path(b"socket.jpg", LEFT_OUT)
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):
            os.mknod(path(b"device.jpg", LEFT_OUT), 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    _write(path(b"unreadable.jpg", DENIED), photo)
    os.chmod(directory + b"/unreadable.jpg", 0)  # noqa: PTH101
    with open(path(b"sparse.jpg", TOO_LARGE), "wb") as file:  # noqa: PTH123
        file.truncate(most_bytes + 1)
    return {name: frozenset({end}) for name, end in ends.items()}


def write_directories(directory: bytes, photo: bytes, *, outside: bytes, random: Random) -> tuple[Expected, Expected]:
    """Directories that make trouble: their photos, and what is told of as problems."""
    os.mkdir(directory)  # noqa: PTH102
    photos: dict[bytes, str] = {}
    problems: dict[bytes, str] = {}
    for mode, called in ((0o000, b"closed"), (0o333, b"not-listed"), (0o444, b"not-entered")):
        inside = directory + b"/" + called
        os.mkdir(inside)  # noqa: PTH102
        _write(inside + b"/photo.jpg", photo)
        os.chmod(inside, mode)  # noqa: PTH101
        if mode == 0o444:
            photos[inside + b"/photo.jpg"] = DENIED
        else:
            problems[inside] = DENIED
    _link(b"..", directory + b"/up")
    _link(b".", directory + b"/here")
    _link(os.path.dirname(outside), directory + b"/out")  # noqa: PTH120
    problems |= {directory + b"/up": LOOP, directory + b"/here": LOOP, directory + b"/out": OUTSIDE}
    deep = directory
    for level in range(DEEP):
        deep += b"/d%d" % level
        os.mkdir(deep)  # noqa: PTH102
        if level % 50 == 49:
            _write(deep + b"/photo.jpg", photo)
            photos[deep + b"/photo.jpg"] = EMBEDDED
    _write_long_paths(directory + b"/long", photo, photos, problems, random)
    return (
        {path: frozenset({end}) for path, end in photos.items()},
        {path: frozenset({end}) for path, end in problems.items()},
    )


def _write_long_paths(
    directory: bytes, photo: bytes, photos: dict[bytes, str], problems: dict[bytes, str], random: Random
) -> None:
    """Directories in directories until no path leads there any more, with photos in some.

    Their names cannot be compressed, as a database might else do.
    """
    os.mkdir(directory)  # noqa: PTH102
    path, descriptor = directory, os.open(directory, os.O_DIRECTORY)
    longest = os.pathconf("/", "PC_PATH_MAX")
    while len(path) < longest:
        name = random.randbytes(_NAME_BYTES // 2).hex().encode()
        os.mkdir(name, dir_fd=descriptor)
        above, path, descriptor = descriptor, path + b"/" + name, os.open(name, os.O_DIRECTORY, dir_fd=descriptor)
        os.close(above)
        if len(path) < _RECORDED_BYTES:
            _write(path + b"/photo.jpg", photo)
            photos[path + b"/photo.jpg"] = EMBEDDED
        elif _TOO_LONG_BYTES < len(path) < longest - _NAME_BYTES:
            _write(path + b"/photo.jpg", photo)
            problems[path + b"/photo.jpg"] = TOO_LONG
        elif len(path) >= longest:
            # A directory that is seen and cannot be named to the system.
            problems[path] = TOO_LONG
    os.close(descriptor)


def make_removable(root: Path) -> None:
    """Give directories back the rights that removing them needs."""
    for directory, below, _ in os.walk(os.fsencode(root)):
        for name in below:
            inside = directory + b"/" + name
            if not os.path.islink(inside):  # noqa: PTH114
                with contextlib.suppress(OSError):
                    os.chmod(inside, 0o700)  # noqa: PTH101


def _write(path: bytes, content: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(content)


def _link(target: bytes, path: bytes) -> None:
    os.symlink(target, path)  # noqa: PTH211
