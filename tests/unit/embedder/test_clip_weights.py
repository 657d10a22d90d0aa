"""Names of CLIP weights: which files they mean, what the space of their vectors is called, and what is refused."""

import hashlib
from pathlib import Path

import pytest

from triptych_common.errors import ConfigurationError
from triptych_embedder.models.clip_weights import find_weights


def _write(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


_DIGEST = hashlib.sha256(b"weights").hexdigest()[:12]


def test_weights_of_the_store_are_named_for_their_network_and_training(tmp_path: Path) -> None:
    checkpoint = _write(tmp_path / "open_clip" / "ViT-L-14__laion2b_s32b_b82k" / "open_clip_pytorch_model.bin")
    weights = find_weights("ViT-L-14/laion2b_s32b_b82k", tmp_path)
    assert (weights.checkpoint, weights.directory) == (checkpoint, None)
    assert (weights.model_id, weights.licence) == ("clip:ViT-L-14/laion2b_s32b_b82k", "MIT")
    assert (weights.architecture, weights.tag) == ("ViT-L-14", "laion2b_s32b_b82k")
    assert weights.stored_as == "ViT-L-14__laion2b_s32b_b82k"


def test_a_checkpoint_outside_of_the_store_is_named_for_its_content(tmp_path: Path) -> None:
    path = _write(tmp_path / "some where" / "epoch_9@2.pt")
    weights = find_weights(f"ViT-B-32@{path}", tmp_path)
    assert (weights.model_id, weights.stored_as) == (f"clip:ViT-B-32@{_DIGEST}", f"ViT-B-32__{_DIGEST}")
    assert (weights.checkpoint, weights.tag) == (path, "")
    tagged = find_weights(f"ViT-B-32/openai@{path}", tmp_path)
    assert (tagged.model_id, tagged.tag) == (f"clip:ViT-B-32@{_DIGEST}", "openai")


def test_a_directory_has_its_configuration_beside_its_checkpoint(tmp_path: Path) -> None:
    directory = tmp_path / "mine"
    config = _write(directory / "open_clip_config.json", b"{}")
    first = _write(directory / "open_clip_model.safetensors")
    _write(directory / "open_clip_pytorch_model.bin", b"others")
    weights = find_weights(f"local-dir:{directory}", tmp_path)
    assert (weights.checkpoint, weights.directory) == (first, directory)
    assert weights.model_id == f"clip:local-dir@{_DIGEST}"
    config.unlink()
    with pytest.raises(ConfigurationError, match=r"no open_clip_config\.json"):
        find_weights(f"local-dir:{directory}", tmp_path)


@pytest.mark.parametrize("names", [[], ["a.bin", "b.bin"], ["notes.txt"]])
def test_a_directory_without_one_checkpoint_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in ["open_clip_config.json", *names]:
        _write(tmp_path / name)
    with pytest.raises(ConfigurationError, match=r"no checkpoint .* or several"):
        find_weights(f"local-dir:{tmp_path}", tmp_path)


def test_a_checkpoint_of_any_name_is_taken_where_it_is_the_only_one(tmp_path: Path) -> None:
    _write(tmp_path / "open_clip_config.json")
    only = _write(tmp_path / "epoch_32.pth")
    assert find_weights(f"local-dir:{tmp_path}", tmp_path).checkpoint == only


def test_a_name_without_weights_is_refused(tmp_path: Path) -> None:
    for name in ("", "ViT-B-32", "ViT-B-32/", "/tag", "a/b/c", "../x/y", "hf-hub:a/b"):
        with pytest.raises(ConfigurationError, match="names no weights"):
            find_weights(name, tmp_path)


_PINNED = "open_clip/ViT-B-32__laion2b_s34b_b79k"


def test_weights_that_are_not_those_that_the_store_pins_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / _PINNED / "open_clip_model.safetensors")
    with pytest.raises(ConfigurationError, match=f"is cut short .* run `triptych models fetch {_PINNED}`"):
        find_weights("ViT-B-32/laion2b_s34b_b79k", tmp_path)


def test_missing_weights_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"are not in .* run `triptych models fetch {_PINNED}`"):
        find_weights("ViT-B-32/laion2b_s34b_b79k", tmp_path)
    with pytest.raises(ConfigurationError, match=r"put their checkpoint into .*/open_clip/ViT-L-14__openai as"):
        find_weights("ViT-L-14/openai", tmp_path)
    with pytest.raises(ConfigurationError, match="There is no checkpoint"):
        find_weights("ViT-L-14@/nowhere/at/all.pt", tmp_path)
