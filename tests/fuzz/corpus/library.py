"""The library of a fuzz run: every kind of hostile file in a directory of its own, among good photos."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.corpus.bombs import bombs
from tests.fuzz.corpus.damage import cycles, lying_lengths, turned_bits
from tests.fuzz.corpus.disguises import disguises
from tests.fuzz.corpus.hostile import EMBEDDED, Hostile
from tests.fuzz.corpus.metadata import metadata
from tests.fuzz.corpus.names import awkward_directories, awkward_names
from tests.fuzz.corpus.oddities import oddities
from tests.fuzz.corpus.trees import Expected, write_directories, write_special_files
from tests.fuzz.corpus.truncations import truncations
from tests.fuzz.corpus.whole import whole_pictures

CONTENTS: Final[dict[str, Callable[[Random], Iterator[Hostile]]]] = {
    "truncations": truncations,
    "turned bits": turned_bits,
    "lying lengths": lying_lengths,
    "cycles": cycles,
    "bombs": bombs,
    "metadata": metadata,
    "disguises": disguises,
    "oddities": oddities,
}
"""Kinds of files whose bytes are hostile."""
NAMES: Final = "names"
SPECIAL_FILES: Final = "special files"
DIRECTORIES: Final = "directories"


@dataclass(kw_only=True)
class Library:
    """What was written under a directory."""

    root: bytes
    kinds: dict[str, Expected] = field(default_factory=dict)
    """By kind: how each file may end, by its path."""
    problems: Expected = field(default_factory=dict)
    """Directories, and files, that discovery is to tell of: with which codes."""

    def files(self) -> Expected:
        """All files."""
        return {path: ends for kind in self.kinds.values() for path, ends in kind.items()}


def write_library(root: Path, *, seed: int, photo: bytes, outside: Path, most_bytes: int, share: float) -> Library:
    """Write all kinds below a directory that does not exist; ``photo`` is what is in files of which names matter.

    Of files that differ in their bytes only a ``share`` is taken, by the seed. ``outside`` lies outside the media
    roots. Files of more than ``most_bytes`` are too large.
    """
    root.mkdir(parents=True)
    library = Library(root=os.fsencode(root))
    for kind, make in CONTENTS.items():
        # Each kind has its own, so that another one changes nothing of it.
        made = list(make(Random(f"{seed} {kind}")))
        chosen = Random(f"{seed} chosen {kind}").sample(made, max(1, round(share * len(made))))
        library.kinds[kind] = _write(library.root + b"/" + kind.replace(" ", "-").encode(), chosen)
    library.kinds[NAMES] = _write_names(library.root + b"/names", photo)
    library.kinds[SPECIAL_FILES] = write_special_files(
        library.root + b"/special", photo, outside=os.fsencode(outside), most_bytes=most_bytes
    )
    library.kinds[DIRECTORIES], library.problems = write_directories(
        library.root + b"/trees", photo, outside=os.fsencode(outside), random=Random(f"{seed} {DIRECTORIES}")
    )
    return library


def write_good_photos(directory: Path) -> None:
    """A whole picture of every format, into a directory that is there."""
    for name, whole in whole_pictures().items():
        (directory / f"{name}.{whole.extension}").write_bytes(whole.content)


def _write(directory: bytes, made: list[Hostile]) -> Expected:
    os.mkdir(directory)  # noqa: PTH102 - paths are bytes here
    expected = {}
    for one in made:
        path = directory + b"/" + one.name
        if path in expected:
            raise ValueError(f"two hostile files are called {one.name!r}")
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(one.content)
        expected[path] = one.ends
    return expected


def _write_names(directory: bytes, photo: bytes) -> Expected:
    of_directories = directory + b"/of-directories"
    os.makedirs(of_directories)  # noqa: PTH103
    paths = [directory + b"/" + name for name in awkward_names()]
    for name in awkward_directories():
        os.mkdir(of_directories + b"/" + name)  # noqa: PTH102
        paths.append(of_directories + b"/" + name + b"/photo.jpg")
    for path in paths:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(photo)
    return dict.fromkeys(paths, frozenset({EMBEDDED}))
