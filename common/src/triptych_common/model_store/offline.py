"""Weights from a directory of files that somebody else fetched: an offline mirror."""

import os
from pathlib import Path

from triptych_common.model_store.checking import chunks_of, problem_of, size_problem_of
from triptych_common.model_store.errors import TransferError
from triptych_common.model_store.listening import Listener, Step
from triptych_common.model_store.manifest import Download, Entry, PinnedFile


def find_offline(entry: Entry, file: PinnedFile, source: Path) -> Path | None:
    """Where ``source`` has a file of an entry: under the entry's name, its model's, or at its top; None where not."""
    places = (source / entry.name, source / entry.name.rpartition("/")[2], source)
    return next((place / file.name for place in places if size_problem_of(place / file.name, file) is None), None)


def copy_offline(found: Path, file: PinnedFile, place: Path, listener: Listener) -> None:
    """Copy a file that was found. Raises TransferError where its content is another; OSError."""
    with found.open("rb") as source, place.open("wb") as target:
        copied_bytes = 0
        for chunk in chunks_of(source):
            target.write(chunk)
            copied_bytes += len(chunk)
            listener.on_progress(Step.COPYING, file.name, copied_bytes, file.size_bytes)
        target.flush()
        os.fsync(target.fileno())
    # The copy, not the source: it is what will be used.
    if problem_of(place, file) is not None:
        place.unlink()
        raise TransferError(f"{found} is not what it should be (its SHA-256 differs): it was not taken.")


def missing_offline(entry: Entry, download: Download, source: Path) -> TransferError:
    """What to say where ``source`` has not what a download of an entry would bring."""
    wanted = f"{entry.name}/{download.file.name} ({download.file.size_bytes:,} bytes, SHA-256 {download.file.sha256})"
    return TransferError(f"{source} does not hold {wanted}: put there what {download.url} gives.")
