"""The stack that hostile files are thrown at: the product's own, with the bundled models, as a user who is not root."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.corpus.trees import make_removable
from tests.support.running_triptych import Triptych, triptych_up, working_directory
from tests.support.unprivileged import unprivileged

MOST_BYTES: Final = 64 * 2**20
MOST_PIXELS: Final = 24_000_000
CEILING_BYTES: Final = 2**30
"""Of a worker's resident memory, its children's included. It is the setting that keeps it there."""
CEILINGS: Final = {"embedder": CEILING_BYTES, "facedetect": CEILING_BYTES, "gateway": CEILING_BYTES}
SHARD_PHOTOS: Final = 16
_SETTINGS: Final = {
    "TRIPTYCH_MAX_IMAGE_BYTES": str(MOST_BYTES),
    "TRIPTYCH_MAX_IMAGE_PIXELS": str(MOST_PIXELS),
    "TRIPTYCH_MEMORY_CEILING_BYTES": str(CEILING_BYTES),
}


@dataclass(frozen=True, kw_only=True)
class FuzzStack:
    """A stack, and where its photos are."""

    triptych: Triptych
    media: Path
    """The media root."""
    outside: Path
    """A photo that lies in no media root."""


@contextlib.contextmanager
def fuzz_stack() -> Iterator[FuzzStack]:
    """A stack that is up, with nothing in it; nothing is left of it afterwards."""
    with working_directory() as directory:
        media, outside, owned = directory / "photos", directory / "outside" / "secret.jpg", directory / "owned"
        for made in (media, outside.parent, owned):
            made.mkdir()
        # Where the tests are not root's, they and the services are one user, who owns what is not to be read, too.
        with (
            _removable(media),
            unprivileged(owned) as prefix,
            triptych_up(owned, media_roots=[media], settings=_SETTINGS, prefix=prefix) as running,
        ):
            yield FuzzStack(triptych=running, media=media, outside=outside)


@contextlib.contextmanager
def _removable(directory: Path) -> Iterator[None]:
    try:
        yield
    finally:
        make_removable(directory)
