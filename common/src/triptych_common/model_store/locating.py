"""Where a backend finds the weights of an entry, once they are what the manifest says."""

from collections.abc import Sequence
from pathlib import Path

from triptych_common.errors import ConfigurationError
from triptych_common.model_store.checking import problem_of
from triptych_common.model_store.manifest import read_manifest


def entry_name(backend: str, model: str) -> str:
    """The entry of a backend's model, such as ``open_clip/ViT-B-32__laion2b_s34b_b79k``.

    That is where ``ViT-B-32/laion2b_s34b_b79k`` of the backend ``open_clip`` lies.
    """
    return f"{backend}/{model.replace('/', '__')}"


def entry_directory(name: str, models_dir: Path) -> Path:
    """Where the entry of that name lies, or would. Raises ConfigurationError for a name that leads elsewhere."""
    parts = name.split("/")
    if len(parts) != 2 or any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise ConfigurationError(f"{name!r} names no model weights: a name is of the form backend/model.")
    return models_dir.joinpath(*parts)


def locate(name: str, models_dir: Path, *, files: Sequence[str] | None = None) -> Path:
    """The directory of an entry whose files are there, with the content that the manifest pins.

    ``files`` names those that are needed, by default all. Each is read once (about a second per GB). Of an entry that
    the manifest does not know, only that its directory and ``files`` exist can be told.
    Raises ConfigurationError, with the command that helps, where one is missing, cut short or has other content.
    """
    directory = entry_directory(name, models_dir)
    entry = read_manifest().find(name)
    if entry is None:
        missing = [file for file in files or () if not (directory / file).is_file()]
        if not directory.is_dir() or missing:
            what = f"{', '.join(missing)} of the weights {name}" if missing else f"The weights {name}"
            raise ConfigurationError(
                f"{what} cannot be found in {models_dir}, and no command fetches them: put them into {directory},"
                " or choose a model of `triptych models list`."
            )
        return directory
    pinned = {file.name: file for file in entry.files}
    for file in entry.files if files is None else [pinned[file] for file in files]:
        problem = problem_of(directory / file.name, file)
        if problem is not None:
            if not directory.is_dir():
                raise ConfigurationError(
                    f"The weights {name} are not in {models_dir}: run `triptych models fetch {name}`."
                )
            raise ConfigurationError(f"The weights {name}: {problem}: run `triptych models fetch {name}`.")
    return directory
