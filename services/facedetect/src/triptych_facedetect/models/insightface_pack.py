"""Which files of an InsightFace pack are the detector and the recogniser, and what the pack is called."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from triptych_common.errors import ConfigurationError

DEFAULT_PACK: Final = "buffalo_l"
RESEARCH_ONLY: Final = "non-commercial research only"

_DIRECTORY: Final = "insightface"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PUBLISHED: Final = ("buffalo_l", "antelopev2")
"""Packs whose name says which weights they are: the model store fetches them by digest."""
_LANDMARK_DETECTOR_OUTPUTS: Final = (9, 15)
_BOX_DETECTOR_OUTPUTS: Final = (6, 10)
_CROP_UNITS_PIXELS: Final = (112, 128)
"""InsightFace aligns faces to squares of a multiple of either."""
_DIGEST_CHARACTERS: Final = 12


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
    with the command to run, where the pack is missing, damaged or of another kind.
    """
    if name.startswith(("/", "~")):
        directory = Path(name).expanduser()
        advice = "name a directory with the .onnx files of a pack"
    elif _NAME.fullmatch(name):
        directory = models_dir / _DIRECTORY / name
        advice = _how_to_get(name, directory)
    else:
        raise ConfigurationError(
            f"{name!r} names no InsightFace pack: set TRIPTYCH_MODEL=insightface:{DEFAULT_PACK} or insightface:/path."
        )
    if not directory.is_dir():
        raise ConfigurationError(f"The InsightFace pack {name} is not in {directory.parent}: {advice}.")
    networks = [_read(path, advice) for path in _onnx_files(directory, advice)]
    detector = _first((one for one in networks if one.is_detector), "detector (SCRFD)", directory, advice)
    if detector.output_count not in _LANDMARK_DETECTOR_OUTPUTS:
        what = "no landmarks" if detector.output_count in _BOX_DETECTOR_OUTPUTS else "something else than SCRFD does"
        raise ConfigurationError(
            f"{detector.path} gives {what}, and without landmarks faces cannot be aligned: choose another pack, such as"
            f" insightface:{DEFAULT_PACK}."
        )
    recogniser = _first((one for one in networks if one.is_recogniser), "recogniser (ArcFace)", directory, advice)
    return _named(name, detector.path, recogniser.path)


def _named(name: str, detector: Path, recogniser: Path) -> FacePack:
    if name in _PUBLISHED:
        return FacePack(
            model_id=f"insightface:{name}",
            display_name=f"InsightFace {name}",
            licence=RESEARCH_ONLY,
            detector=detector,
            recogniser=recogniser,
        )
    # Whoever puts other weights under an old name has another space, so the weights name it.
    stem = "-".join(re.findall(r"[A-Za-z0-9._]+", recogniser.stem)) or "recogniser"
    digest = _sha256(recogniser)[:_DIGEST_CHARACTERS]
    return FacePack(
        model_id=f"insightface:{stem}@{digest}",
        display_name=f"InsightFace {stem}",
        licence=f"as published with the pack; InsightFace's own: {RESEARCH_ONLY}",
        detector=detector,
        recogniser=recogniser,
    )


def _how_to_get(name: str, directory: Path) -> str:
    if name == DEFAULT_PACK:
        return "run `triptych models fetch production --accept-licence`"
    if name in _PUBLISHED:
        return f"run `triptych models fetch {_DIRECTORY}/{name} --accept-licence`"
    return f"no command fetches it, so put its .onnx files into {directory}, or choose insightface:{DEFAULT_PACK}"


def _onnx_files(directory: Path, advice: str) -> list[Path]:
    if (directory / "manifest.json").exists():
        raise ConfigurationError(
            f"{directory} is a package with a manifest of its own, which this version does not read: choose a pack of"
            f" plain .onnx files, such as insightface:{DEFAULT_PACK}."
        )
    paths = sorted(directory.glob("*.onnx"))
    if not paths:
        raise ConfigurationError(f"There is no .onnx file in {directory}: {advice}.")
    return paths


def _read(path: Path, advice: str) -> _Network:
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except (DecodeError, OSError) as error:
        raise ConfigurationError(f"{path} is cut short or damaged: {advice}.") from error
    if not graph.node:
        raise ConfigurationError(f"{path} holds no network: {advice}.")
    # Old files list their weights among the inputs.
    weights = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in weights]
    return _Network(
        path=path,
        inputs=[[dimension.dim_value for dimension in one.type.tensor_type.shape.dim] for one in inputs],
        output_count=len(graph.output),
    )


def _first(networks: Iterable[_Network], what: str, directory: Path, advice: str) -> _Network:
    found: Sequence[_Network] = list(networks)
    if not found:
        raise ConfigurationError(f"There is no {what} among the .onnx files in {directory}: {advice}.")
    return found[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
