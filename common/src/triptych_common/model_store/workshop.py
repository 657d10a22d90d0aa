"""Where an entry's files are until they are whole, and the lock that gives that place to one fetch at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triptych_common.model_store.listening import Listener
from triptych_common.model_store.manifest import Entry

_WORKSHOPS = ".fetching"


def workshop_of(entry: Entry, models_dir: Path) -> Path:
    """A directory on the disk of the models, so that what is whole can be renamed."""
    return models_dir / _WORKSHOPS / entry.name.replace("/", "__")


def fetched_bytes(entry: Entry, models_dir: Path) -> int:
    """How much has come of an entry whose fetch was interrupted."""
    workshop = workshop_of(entry, models_dir)
    return sum(path.stat().st_size for path in workshop.iterdir() if path.is_file()) if workshop.is_dir() else 0


@contextmanager
def alone(entry: Entry, models_dir: Path, listener: Listener) -> Iterator[None]:
    """Holds the workshop for this process; the kernel lets go when the process ends, however it ends."""
    workshop = workshop_of(entry, models_dir)
    workshop.parent.mkdir(parents=True, exist_ok=True)
    # Beside the workshop, which is removed in the end: whoever waits must hold the file that others see.
    lock = workshop.with_name(f"{workshop.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            listener.say(f"{entry.name} is being fetched by another process: waiting for it.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
