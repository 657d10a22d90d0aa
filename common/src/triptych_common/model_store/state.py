"""What of the weights is in a models directory."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from triptych_common.model_store.checking import problem_of, size_problem_of
from triptych_common.model_store.listening import Listener, Step
from triptych_common.model_store.locating import entry_directory
from triptych_common.model_store.manifest import Entry, Manifest, PinnedFile
from triptych_common.model_store.workshop import fetched_bytes

EXPORT_BACKEND = "onnx"
"""The backend whose entries are made here, by ``triptych models export``."""
EXPORT_DESCRIPTION = "model.json"
"""The file of an export that names the others with their SHA-256."""


class State(StrEnum):
    """What is known of weights."""

    ABSENT = "absent"
    PARTIAL = "partial"
    """A fetch was interrupted; the next goes on."""
    WHOLE = "whole"
    DAMAGED = "damaged"
    UNPINNED = "unpinned"
    """A person has put it there, and nothing says what it should be."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Weights, and what is known of them."""

    name: str
    state: State
    problems: tuple[str, ...] = ()
    """What is wrong, each as part of a sentence."""
    size_bytes: int = 0
    """What there is of it."""


def glance(entry: Entry, models_dir: Path) -> Finding:
    """What can be told of a pinned entry without reading its files."""
    directory = entry_directory(entry.name, models_dir)
    problems = [problem for file in entry.files if (problem := size_problem_of(directory / file.name, file))]
    if not directory.is_dir():
        had_bytes = fetched_bytes(entry, models_dir)
        return Finding(name=entry.name, state=State.PARTIAL if had_bytes else State.ABSENT, size_bytes=had_bytes)
    return _finding(entry.name, directory, problems)


def verify(entry: Entry, models_dir: Path, listener: Listener) -> Finding:
    """What is true of a pinned entry: every byte is read."""
    seen = glance(entry, models_dir)
    if seen.state is not State.WHOLE:
        return seen
    directory = entry_directory(entry.name, models_dir)
    return _finding(
        entry.name,
        directory,
        [problem for file in entry.files if (problem := _problem_of(file, directory, listener)) is not None],
    )


def unpinned(manifest: Manifest, models_dir: Path) -> Iterator[str]:
    """Names of directories that the manifest does not know: exports, and what a person put there."""
    pinned = {entry.name for entry in manifest.entries}
    for path in sorted(models_dir.glob("[!.]*/[!.]*")):
        name = f"{path.parent.name}/{path.name}"
        if path.is_dir() and name not in pinned:
            yield name


def glance_unpinned(name: str, models_dir: Path) -> Finding:
    """What can be told of an export, or of what a person put there, without reading its files."""
    directory = entry_directory(name, models_dir)
    if not is_export(name):
        return Finding(name=name, state=State.UNPINNED, size_bytes=_size_bytes(directory))
    return _export_finding(name, models_dir, lambda file: size_problem_of(directory / file.name, file))


def is_export(name: str) -> bool:
    """Whether the entry of that name is made here."""
    return name.startswith(f"{EXPORT_BACKEND}/")


def verify_unpinned(name: str, models_dir: Path, listener: Listener) -> Finding:
    """What is true of an export, by the digests that it was written with; of anything else only that it is there."""
    if not is_export(name):
        return glance_unpinned(name, models_dir)
    directory = entry_directory(name, models_dir)
    return _export_finding(name, models_dir, lambda file: _problem_of(file, directory, listener))


def _export_finding(name: str, models_dir: Path, problem_of_file: Callable[[PinnedFile], str | None]) -> Finding:
    directory = entry_directory(name, models_dir)
    description = directory / EXPORT_DESCRIPTION
    try:
        files = [
            PinnedFile(name=file, size_bytes=of["sizeBytes"], sha256=of["sha256"])
            for file, of in json.loads(description.read_bytes())["files"].items()
        ]
    except OSError as error:
        problems = [f"{description} cannot be read ({error.strerror})"]
    except (ValueError, LookupError, TypeError, AttributeError):
        problems = [f"{description} does not describe an export"]
    else:
        problems = [problem for file in files if (problem := problem_of_file(file)) is not None]
    return _finding(name, directory, problems)


def _problem_of(file: PinnedFile, directory: Path, listener: Listener) -> str | None:
    def on_read(done: int) -> None:
        listener.on_progress(Step.CHECKING, file.name, done, file.size_bytes)

    return problem_of(directory / file.name, file, on_read=on_read)


def _finding(name: str, directory: Path, problems: Sequence[str]) -> Finding:
    state = State.DAMAGED if problems else State.WHOLE
    return Finding(name=name, state=state, problems=tuple(problems), size_bytes=_size_bytes(directory))


def _size_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir() if path.is_file()) if directory.is_dir() else 0
