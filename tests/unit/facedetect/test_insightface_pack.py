"""InsightFace packs: found whole or not at all, each trouble in one sentence with what to do."""

import hashlib
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
from triptych_common.devices import AUTO, Device
from triptych_common.errors import ConfigurationError
from triptych_facedetect.models.base import DetectionOptions
from triptych_facedetect.models.insightface_pack import find_pack
from triptych_facedetect.models.registry import load_model

_FETCH = "triptych models fetch production --accept-licence"


def _options(models_dir: Path, device: Device = AUTO) -> DetectionOptions:
    return DetectionOptions(device=device, threads=1, min_score=None, long_side_pixels=None, models_dir=models_dir)


@pytest.fixture
def buffalo(tmp_path: Path) -> Path:
    return write_pack(tmp_path / "insightface" / "buffalo_l")


def test_a_published_pack_is_named_by_its_name(tmp_path: Path, buffalo: Path) -> None:
    pack = find_pack("buffalo_l", tmp_path)
    assert pack.model_id == "insightface:buffalo_l"
    assert pack.licence == "non-commercial research only"
    assert (pack.detector, pack.recogniser) == (buffalo / "det_10g.onnx", buffalo / "w600k_r50.onnx")


def test_any_other_pack_is_named_by_its_recogniser(tmp_path: Path) -> None:
    for name in ("insightface/ours", "elsewhere/pack"):
        write_pack(tmp_path / name)
    digest = hashlib.sha256((tmp_path / "elsewhere/pack/w600k_r50.onnx").read_bytes()).hexdigest()[:12]
    assert find_pack("ours", tmp_path).model_id == f"insightface:w600k_r50@{digest}"
    assert find_pack(str(tmp_path / "elsewhere/pack"), tmp_path).model_id == f"insightface:w600k_r50@{digest}"


def test_production_is_buffalo_l_and_says_that_it_is_for_research(tmp_path: Path, buffalo: Path) -> None:
    model = load_model("production", _options(tmp_path))
    model.close()
    info = model.info
    assert (info.model_id, info.pack, info.device) == ("insightface:buffalo_l", "production", "cpu")
    assert info.licence == "non-commercial research only" and "non-commercial research only" in info.notice


def test_production_takes_no_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="insightface:PACK"):
        load_model("production:antelopev2", _options(tmp_path))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("production", _FETCH),
        ("insightface:buffalo_l", _FETCH),
        ("insightface:antelopev2", "triptych models fetch insightface/antelopev2 --accept-licence"),
        ("insightface:ours", "insightface/ours"),
        ("insightface:/nowhere/pack", "name a directory"),
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
        ("det_10g.onnx", _shorten, "cut short or damaged"),
        ("w600k_r50.onnx", _shorten, "cut short or damaged"),
        ("w600k_r50.onnx", lambda path: path.write_bytes(b""), "holds no network"),
        ("w600k_r50.onnx", lambda path: path.write_text("<html>not found</html>"), "cut short or damaged"),
        ("w600k_r50.onnx", Path.unlink, r"no recogniser \(ArcFace\)"),
        ("det_10g.onnx", Path.unlink, r"no detector \(SCRFD\)"),
        ("det_10g.onnx", write_landmark_network, r"no detector \(SCRFD\)"),
        ("w600k_r50.onnx", lambda path: write_recogniser(path, side_pixels=96), r"no recogniser \(ArcFace\)"),
    ],
)
def test_a_damaged_pack_is_refused(
    tmp_path: Path, buffalo: Path, name: str, damage: Callable[[Path], object], says: str
) -> None:
    damage(buffalo / name)
    with pytest.raises(ConfigurationError, match=f"{says}.*{_FETCH}"):
        load_model("insightface:buffalo_l", _options(tmp_path))


def test_a_detector_without_landmarks_is_refused(tmp_path: Path, buffalo: Path) -> None:
    write_detector(buffalo / "det_10g.onnx", DetectorShape(), kinds=("score", "bbox"))
    with pytest.raises(ConfigurationError, match="gives no landmarks"):
        find_pack("buffalo_l", tmp_path)


def test_a_network_that_cannot_run_is_refused(tmp_path: Path, buffalo: Path) -> None:
    path = buffalo / "w600k_r50.onnx"
    network = onnx.load(path)
    network.graph.node[0].op_type = "NoSuchOperation"
    path.write_bytes(network.SerializeToString())
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        load_model("insightface:buffalo_l", _options(tmp_path))


def test_a_package_with_a_manifest_is_not_guessed_at(tmp_path: Path, buffalo: Path) -> None:
    (buffalo / "manifest.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="manifest"):
        find_pack("buffalo_l", tmp_path)


def test_an_empty_directory_is_no_pack(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no \.onnx file"):
        find_pack(str(tmp_path), tmp_path)


@pytest.mark.parametrize("device", ["cuda", "tensorrt:1"])
def test_a_device_that_is_not_there_is_refused(
    tmp_path: Path, buffalo: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigurationError, match=f"TRIPTYCH_DEVICE is {Device.parse(device)}"):
        load_model("insightface:buffalo_l", _options(tmp_path, Device.parse(device)))


def test_the_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "triptych_facedetect.models.insightface_model", raising=False)
    monkeypatch.setitem(sys.modules, "cv2", None)
    for module in ("insightface_detection", "insightface_recognition"):
        monkeypatch.delitem(sys.modules, f"triptych_facedetect.models.{module}", raising=False)
    with pytest.raises(ConfigurationError, match=r"needs the package cv2.*triptych-facedetect\[insightface\]"):
        load_model("insightface:buffalo_l", _options(tmp_path))
