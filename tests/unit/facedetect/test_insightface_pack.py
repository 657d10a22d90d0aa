"""InsightFace packs: found whole or not at all, each trouble in one sentence with what to do."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.support.insightface_pack import (
    DetectorShape,
    write_detector,
    write_landmark_network,
    write_pack,
    write_recogniser,
)
from tests.support.model_entries import archive_of, packed_entry, plain_entry
from triptych_common.errors import ConfigurationError
from triptych_common.model_store import Manifest, locating, read_manifest
from triptych_common.models.devices import AUTO, Device
from triptych_facedetect.models import insightface_pack
from triptych_facedetect.models.base import DetectionOptions
from triptych_facedetect.models.insightface_pack import find_pack
from triptych_facedetect.models.registry import load_model

_DETECTOR, _RECOGNISER = "det_10g.onnx", "w600k_r50.onnx"


def _options(models_dir: Path, device: Device = AUTO) -> DetectionOptions:
    return DetectionOptions(device=device, threads=1, min_score=None, long_side_pixels=None, models_dir=models_dir)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack to copy."""
    return write_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def pinned(pack: Path) -> Manifest:
    """For which that pack is the one that `production` means."""
    files = {name: (pack / name).read_bytes() for name in (_DETECTOR, _RECOGNISER)}
    return Manifest(
        production={"facedetect": "insightface/buffalo_l", "embedder": "open_clip/none"},
        entries=(
            packed_entry("insightface/buffalo_l", archive_of(files), files, non_commercial=True),
            plain_entry("open_clip/none", b"weights"),
        ),
    )


@pytest.fixture
def buffalo(pack: Path, pinned: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pack in the model store, for the manifest the one that `production` means."""
    for module in (locating, insightface_pack):
        monkeypatch.setattr(module, "read_manifest", lambda: pinned)
    return Path(shutil.copytree(pack, tmp_path / "insightface" / "buffalo_l"))


@pytest.fixture
def ours(pack: Path, tmp_path: Path) -> Path:
    """A pack in the model store that no manifest knows."""
    return Path(shutil.copytree(pack, tmp_path / "insightface" / "ours"))


def test_a_pinned_pack_is_called_by_its_name_wherever_it_lies(pack: Path, tmp_path: Path, buffalo: Path) -> None:
    elsewhere = shutil.copytree(pack, tmp_path / "elsewhere")
    for name, directory in (("buffalo_l", buffalo), (str(elsewhere), elsewhere)):
        located = find_pack(name, tmp_path)
        assert (located.model_id, located.licence) == ("insightface:buffalo_l", "CC-BY-NC-4.0")
        assert (located.detector, located.recogniser) == (directory / _DETECTOR, directory / _RECOGNISER)


def test_of_a_pinned_pack_nothing_is_taken_that_is_not_pinned(tmp_path: Path, buffalo: Path) -> None:
    write_detector(buffalo / "another.onnx", DetectorShape())
    assert find_pack("buffalo_l", tmp_path).detector.name == _DETECTOR


def test_any_other_pack_is_called_by_its_recogniser(tmp_path: Path, ours: Path) -> None:
    digest = hashlib.sha256((ours / _RECOGNISER).read_bytes()).hexdigest()[:12]
    for name in ("ours", str(ours)):
        assert find_pack(name, tmp_path).model_id == f"insightface:w600k_r50@{digest}"


def test_production_is_buffalo_l_and_says_that_it_is_for_research(tmp_path: Path, buffalo: Path) -> None:
    model = load_model("production", _options(tmp_path))
    model.close()
    info = model.info
    assert (info.model_id, info.pack, info.device) == ("insightface:buffalo_l", "production", "cpu")
    assert info.licence == "CC-BY-NC-4.0" and "non-commercial research only" in info.notice


def test_the_licence_of_the_published_packs_is_for_research() -> None:
    licences = {entry.licence.name for entry in read_manifest().entries if entry.name.startswith("insightface/")}
    assert licences == {"InsightFace, non-commercial research only"}


def test_production_takes_no_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="insightface:antelopev2"):
        load_model("production:antelopev2", _options(tmp_path))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("production", "triptych models fetch insightface/buffalo_l"),
        ("insightface:buffalo_l", "triptych models fetch insightface/buffalo_l"),
        ("insightface:antelopev2", "triptych models fetch insightface/antelopev2"),
        ("insightface:nobodys", "no command fetches them"),
        ("insightface:/nowhere/pack", "name one with the .onnx files"),
        ("insightface:", "insightface:buffalo_l"),
        ("insightface:../buffalo_l", "insightface:buffalo_l"),
    ],
)
def test_a_pack_that_is_not_there_is_one_sentence_with_what_to_do(tmp_path: Path, name: str, advice: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load_model(name, _options(tmp_path))
    assert advice in str(refusal.value) and "\n" not in str(refusal.value)


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        (_DETECTOR, _shorten, "cut short or damaged"),
        (_RECOGNISER, _shorten, "cut short or damaged"),
        (_RECOGNISER, lambda path: path.write_bytes(b""), "holds no network"),
        (_RECOGNISER, lambda path: path.write_text("<html>not found</html>"), "cut short or damaged"),
        (_RECOGNISER, Path.unlink, r"no recogniser \(ArcFace\)"),
        (_DETECTOR, Path.unlink, r"no detector \(SCRFD\)"),
        (_DETECTOR, write_landmark_network, r"no detector \(SCRFD\)"),
        (_RECOGNISER, lambda path: write_recogniser(path, side_pixels=96), r"no recogniser \(ArcFace\)"),
    ],
)
def test_a_damaged_pack_is_refused(
    tmp_path: Path, ours: Path, name: str, damage: Callable[[Path], object], says: str
) -> None:
    damage(ours / name)
    with pytest.raises(ConfigurationError, match=f"{says}.*triptych models fetch production --accept-licence"):
        load_model("insightface:ours", _options(tmp_path))


@pytest.mark.parametrize("damage", [_shorten, Path.unlink, lambda path: path.write_bytes(path.read_bytes() + b"x")])
def test_a_pinned_pack_is_whole_or_refused(tmp_path: Path, buffalo: Path, damage: Callable[[Path], object]) -> None:
    damage(buffalo / _RECOGNISER)
    with pytest.raises(ConfigurationError, match=r"w600k_r50\.onnx.*run `triptych models fetch insightface/buffalo_l`"):
        load_model("production", _options(tmp_path))


def test_a_detector_without_landmarks_is_refused(tmp_path: Path, ours: Path) -> None:
    write_detector(ours / _DETECTOR, DetectorShape(), kinds=("score", "bbox"))
    with pytest.raises(ConfigurationError, match="gives no landmarks"):
        find_pack("ours", tmp_path)


def test_a_network_that_cannot_run_is_refused(tmp_path: Path, ours: Path) -> None:
    path = ours / _RECOGNISER
    network = onnx.load(path)
    network.graph.node[0].op_type = "NoSuchOperation"
    path.write_bytes(network.SerializeToString())
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        load_model("insightface:ours", _options(tmp_path))


def test_a_package_with_a_manifest_is_not_guessed_at(tmp_path: Path, ours: Path) -> None:
    (ours / "manifest.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="manifest"):
        find_pack("ours", tmp_path)


def test_an_empty_directory_is_no_pack(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no \.onnx file"):
        find_pack(str(tmp_path), tmp_path)


@pytest.mark.parametrize("device", ["cuda", "tensorrt:1"])
def test_a_device_that_is_not_there_is_refused(
    tmp_path: Path, ours: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigurationError, match=f"TRIPTYCH_DEVICE is {Device.parse(device)}"):
        load_model("insightface:ours", _options(tmp_path, Device.parse(device)))


def test_the_bundled_backend_starts_without_what_the_packs_need() -> None:
    heavy = "{'cv2', 'insightface', 'onnx', 'onnxruntime', 'skimage'}"
    code = f"import sys, triptych_facedetect.main; print({heavy} & set(sys.modules) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "0\n"


def test_the_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "triptych_facedetect.models.insightface_model", raising=False)
    monkeypatch.setitem(sys.modules, "cv2", None)
    for module in ("insightface_detection", "insightface_recognition"):
        monkeypatch.delitem(sys.modules, f"triptych_facedetect.models.{module}", raising=False)
    with pytest.raises(ConfigurationError, match=r"needs the package cv2.*triptych-facedetect\[insightface\]"):
        load_model("insightface:buffalo_l", _options(tmp_path))
