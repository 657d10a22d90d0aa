"""Which files of an InsightFace pack are the detector and the recogniser, and what the pack is called."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from triptych_common.errors import ConfigurationError
from triptych_common.model_store import Entry, entry_name, locate, read_manifest

_BACKEND: Final = "insightface"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LANDMARK_DETECTOR_OUTPUTS: Final = (9, 15)
_BOX_DETECTOR_OUTPUTS: Final = (6, 10)
_CROP_UNITS_PIXELS: Final = (112, 128)
"""InsightFace aligns faces to squares of a multiple of either."""
_PACKAGE_MANIFEST: Final = "manifest.json"
"""Of InsightFace's packages since version 2, whose networks are prepared for in other ways."""
_DIGEST_CHARACTERS: Final = 12
_ADVICE: Final = "put the pack's files there again, or run `triptych models fetch production --accept-licence`"


@dataclass(frozen=True, kw_only=True)
class FacePack:
    """A pack whose files are there and are networks of the kinds that they should be."""

    model_id: str
    """Names the space of its vectors."""
    display_name: str
    licence: str
    detector: Path
    """SCRFD, with landmarks."""
    recogniser: Path
    """ArcFace, or another network from aligned faces to vectors."""


@dataclass(frozen=True, kw_only=True)
class _Network:
    """What an ONNX file says of itself."""

    path: Path
    inputs: list[list[int]]
    """Shape of each input; 0 for what is left open."""
    output_count: int

    @property
    def is_detector(self) -> bool:
        """By InsightFace's own rule."""
        return self.output_count >= 5

    @property
    def is_recogniser(self) -> bool:
        """By InsightFace's own rule, which tells landmarks (192 pixels) and attributes (96) from it."""
        if self.output_count != 1 or len(self.inputs) != 1 or len(self.inputs[0]) != 4:
            return False
        _, channels, height, width = self.inputs[0]
        return channels == 3 and height == width > 0 and any(height % unit == 0 for unit in _CROP_UNITS_PIXELS)


def find_pack(name: str, models_dir: Path) -> FacePack:
    """The pack ``name`` of the model store, or the one in the directory ``/path``.

    As InsightFace does, takes the first file of either kind in the order of their names. Raises ConfigurationError,
    with what to do, where the pack is missing, damaged or of another kind.
    """
    paths = _onnx_files(name, models_dir)
    directory = paths[0].parent
    networks = [_read(path) for path in paths]
    detector = _first((one for one in networks if one.is_detector), "detector (SCRFD)", directory)
    if detector.output_count not in _LANDMARK_DETECTOR_OUTPUTS:
        what = "no landmarks" if detector.output_count in _BOX_DETECTOR_OUTPUTS else "something else than SCRFD does"
        raise ConfigurationError(
            f"{detector.path} gives {what}, and without landmarks no face can be aligned: choose another pack."
        )
    recogniser = _first((one for one in networks if one.is_recogniser), "recogniser (ArcFace)", directory)
    return _named(detector.path, recogniser.path)


def _named(detector: Path, recogniser: Path) -> FacePack:
    """Called as its recogniser is: wherever the files lie, and whatever detector is with them, that is the space."""
    digest = _sha256(recogniser)
    entry = _pinned_by(digest)
    if entry is not None:
        name, licence = entry.name.removeprefix(f"{_BACKEND}/"), entry.licence.name
    else:
        stem = "-".join(re.findall(r"[A-Za-z0-9._]+", recogniser.stem)) or "recogniser"
        name, licence = f"{stem}@{digest[:_DIGEST_CHARACTERS]}", "as published with the pack"
    return FacePack(
        model_id=f"insightface:{name}",
        display_name=f"InsightFace {name}",
        licence=licence,
        detector=detector,
        recogniser=recogniser,
    )


def _pinned_by(digest: str) -> Entry | None:
    """The pack of the model store that has a file of this content."""
    packs = (entry for entry in read_manifest().entries if entry.name.startswith(f"{_BACKEND}/"))
    return next((entry for entry in packs if any(file.sha256 == digest for file in entry.files)), None)


def _onnx_files(name: str, models_dir: Path) -> list[Path]:
    """Of a pack that is pinned only what is pinned, once it is whole; else whatever is there."""
    if name.startswith(("/", "~")):
        return _onnx_files_in(Path(name).expanduser())
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} names no InsightFace pack: set TRIPTYCH_MODEL to insightface:buffalo_l or insightface:/the/path."
        )
    stored_as = entry_name(_BACKEND, name)
    directory = locate(stored_as, models_dir)
    entry = read_manifest().find(stored_as)
    return _onnx_files_in(directory) if entry is None else sorted(directory / file.name for file in entry.files)


def _onnx_files_in(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise ConfigurationError(f"There is no directory {directory}: name one with the .onnx files of a pack.")
    if (directory / _PACKAGE_MANIFEST).exists():
        raise ConfigurationError(
            f"{directory} is a package with a {_PACKAGE_MANIFEST}, which this version does not read: choose a pack of"
            " plain .onnx files, such as insightface:buffalo_l."
        )
    paths = sorted(directory.glob("*.onnx"))
    if not paths:
        raise ConfigurationError(f"There is no .onnx file in {directory}: {_ADVICE}.")
    return paths


def _read(path: Path) -> _Network:
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except (DecodeError, OSError) as error:
        raise ConfigurationError(f"{path} is cut short or damaged: {_ADVICE}.") from error
    if not graph.node:
        raise ConfigurationError(f"{path} holds no network: {_ADVICE}.")
    # Old files list their weights among the inputs.
    weights = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in weights]
    return _Network(
        path=path,
        inputs=[[dimension.dim_value for dimension in one.type.tensor_type.shape.dim] for one in inputs],
        output_count=len(graph.output),
    )


def _first(networks: Iterable[_Network], what: str, directory: Path) -> _Network:
    found = next(iter(networks), None)
    if found is None:
        raise ConfigurationError(f"There is no {what} among the .onnx files in {directory}: {_ADVICE}.")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
