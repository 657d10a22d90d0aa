"""The stack that cells share: the product's own, with models that are none, behind links, and on disks of its own."""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from PIL import Image

from tests.chaos.disks import Disks, disks_of_a_stack
from tests.chaos.links import POSTGRES, Links, links_of_a_stack
from tests.support.running_triptych import Triptych, triptych_up, working_directory
from triptych_gateway.cli.stack.data_directory import DataDirectory

PHOTOS: Final = 32
SHARD_PHOTOS: Final = 8
MICRO_BATCH: Final = 2
SECONDS_PER_PHOTO: Final = 0.05
PERSONS: Final = 6
UNDISTURBED: Final = 1
"""The id of a stack's first session."""
_SETTINGS: Final = {
    "TRIPTYCH_MICRO_BATCH": str(MICRO_BATCH),
    # Little of NATS's disk, which is small.
    "TRIPTYCH_STREAM_MAX_BYTES": str(16 * 2**20),
}


@dataclass(frozen=True, kw_only=True)
class ChaosStack:
    """A stack whose parts may be had at."""

    triptych: Triptych
    links: Links
    disks: Disks
    library: Path

    def copy(self, name: str) -> Path:
        """The library's photos under paths that nothing is known about."""
        return Path(shutil.copytree(self.library, self.library.with_name(name)))

    def processes(self, part: str) -> list[psutil.Process]:
        """All processes of a part as they are now, the one that was started first; none while it is down."""
        try:
            first = self.triptych.child(part)
            return [first, *(first.children(recursive=True) if part == POSTGRES else ())]
        except psutil.NoSuchProcess:
            return []


@contextlib.contextmanager
def chaos_stack(*, has_disks: bool) -> Iterator[ChaosStack]:
    """A stack that is up, with nothing in it, on disks that can be filled; nothing is left of it afterwards."""
    with working_directory() as directory:
        library = directory / "photos" / "library"
        make_library(library)
        record = DataDirectory(root=directory / "data").record
        with disks_of_a_stack(directory, mounted=has_disks) as disks, links_of_a_stack(record) as links:
            command = (
                *(sys.executable, "-m", "tests.chaos.stack_process"),
                *("--links", json.dumps(links.addresses())),
                *("--gateway-data", str(disks.mounts["gateway"])),
                *("--seconds-per-photo", str(SECONDS_PER_PHOTO)),
            )
            with triptych_up(directory, media_roots=[library.parent], settings=_SETTINGS, command=command) as triptych:
                yield ChaosStack(triptych=triptych, links=links, disks=disks, library=library)


def make_library(directory: Path) -> None:
    """Photos of one colour each, which tells the synthetic models whom they show: nobody, one person, or two."""
    directory.mkdir(parents=True)
    for number in range(PHOTOS):
        first = number % PERSONS + 1 if number % 8 else 0
        second = (number + 2) % PERSONS + 1 if first and number % 5 == 0 else 0
        Image.new("RGB", (64, 48), (number, first, second)).save(directory / f"{number:02}.png")
