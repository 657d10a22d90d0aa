"""A backend gets weights that are there and right, or one sentence with the command that helps."""

from pathlib import Path

import pytest

from tests.support.model_entries import content, packed_entry
from triptych_common.errors import ConfigurationError
from triptych_common.model_store import Manifest, entry_name, locate, locating

MEMBERS = {"detector.onnx": content(5000, 1), "recogniser.onnx": content(3000, 2)}
NAME = "insightface/small"


@pytest.fixture
def models_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    entry = packed_entry(NAME, b"zip", MEMBERS)
    known = Manifest.model_construct(entries=(entry,), production={})
    monkeypatch.setattr(locating, "read_manifest", lambda: known)
    for name, data in MEMBERS.items():
        path = tmp_path / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def test_whole_weights_are_found(models_dir: Path) -> None:
    assert locate(NAME, models_dir) == models_dir / NAME
    assert locate(NAME, models_dir, files=["detector.onnx"]) == models_dir / NAME


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.write_bytes(MEMBERS["detector.onnx"][:-1]), "is cut short (4,999 of 5,000 bytes)"),
        (lambda path: path.write_bytes(content(5000, 9)), "has other content than it should"),
        (lambda path: path.write_bytes(content(5001, 9)), "is another file (5,001 bytes)"),
        (lambda path: path.unlink(), "is missing"),
    ],
    ids=["cut short", "other content", "larger", "missing"],
)
def test_damage_is_one_sentence_with_the_command(models_dir: Path, damage, problem: str) -> None:  # type: ignore[no-untyped-def]
    damage(models_dir / NAME / "detector.onnx")
    with pytest.raises(ConfigurationError) as caught:
        locate(NAME, models_dir)
    sentence = str(caught.value)
    assert problem in sentence
    assert sentence.endswith(f"run `triptych models fetch {NAME}`.")
    assert "\n" not in sentence
    # What is not needed is not looked at.
    locate(NAME, models_dir, files=["recogniser.onnx"])


def test_absent_weights_name_the_command(tmp_path: Path, models_dir: Path) -> None:
    empty = tmp_path / "none"
    with pytest.raises(
        ConfigurationError, match=f"The weights {NAME} are not in .*: run `triptych models fetch {NAME}`"
    ):
        locate(NAME, empty)


def test_weights_that_somebody_put_there_need_only_be_there(models_dir: Path) -> None:
    with pytest.raises(ConfigurationError, match="no command fetches them: put them into"):
        locate("open_clip/mine", models_dir)
    (models_dir / "open_clip" / "mine").mkdir(parents=True)
    assert locate("open_clip/mine", models_dir) == models_dir / "open_clip" / "mine"
    with pytest.raises(ConfigurationError, match=r"model\.bin of the weights open_clip/mine"):
        locate("open_clip/mine", models_dir, files=["model.bin"])


@pytest.mark.parametrize("name", ["../x", "open_clip", "a/b/c", "a/..", "/etc", "a/", "a/\0"])
def test_a_name_that_leads_elsewhere_is_refused(models_dir: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="names no model weights"):
        locate(name, models_dir)


def test_a_model_with_a_tag_has_one_directory() -> None:
    assert entry_name("open_clip", "ViT-B-32/laion2b_s34b_b79k") == "open_clip/ViT-B-32__laion2b_s34b_b79k"
