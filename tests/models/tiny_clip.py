"""Small CLIP networks with random weights, in the files that open_clip itself writes and reads."""

import itertools
import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

_numbers = itertools.count()

TINY_CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}
"""A transformer of each kind."""
TINY_RESNET: dict[str, Any] = {
    **TINY_CONFIG,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 16, "patch_size": None},
}
"""One of OpenAI's residual networks, with attention at the end."""


def _changed(
    *, vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None, **rest: Any
) -> dict[str, Any]:
    return {
        **TINY_CONFIG,
        "vision_cfg": {**TINY_CONFIG["vision_cfg"], **(vision or {})},
        "text_cfg": {**TINY_CONFIG["text_cfg"], **(text or {})},
        **rest,
    }


TINY_NETWORKS: dict[str, dict[str, Any]] = {
    "transformer": TINY_CONFIG,
    "resnet": TINY_RESNET,
    "custom text, QuickGELU": _changed(custom_text=True, quick_gelu=True),
    "not square": _changed(vision={"image_size": [64, 96]}),
    "layer scale, mean, end token": _changed(
        vision={"pool_type": "avg", "final_ln_after_pool": True, "ls_init_value": 1e-3},
        text={"pool_type": "eos", "eos_id": 49407},
    ),
    "timm": {
        **TINY_CONFIG,
        "custom_text": True,
        "vision_cfg": {"image_size": 224, "timm_model_name": "vit_tiny_patch16_224", "timm_pool": ""},
    },
    "CoCa": _changed(
        custom_text=True,
        vision={"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
        text={"context_length": 76, "embed_cls": True, "output_tokens": True},
        multimodal_cfg={"context_length": 76, "width": 64, "heads": 4, "layers": 1, "attn_pooler_heads": 4},
    ),
}
"""Networks of every kind that open_clip builds itself."""


def write_local_directory(
    directory: Path,
    *,
    model: dict[str, Any] = TINY_CONFIG,
    preprocessing: dict[str, Any] | None = None,
    seed: int = 0,
    file_name: str = "open_clip_model.safetensors",
) -> Path:
    """A directory for ``local-dir:`` whose checkpoint has weights of this seed."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model, "preprocess_cfg": preprocessing or {}}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    write_checkpoint(directory / file_name, known_network(model, directory), seed=seed)
    return directory


def known_network(model: dict[str, Any], directory: Path) -> str:
    """Make a network known to open_clip, and return its name, which is new."""
    described = directory / f"tiny-{next(_numbers)}.json"
    described.write_text(json.dumps(model))
    open_clip.add_model_config(described)
    described.rename(described.with_suffix(".known"))
    return described.stem


def write_checkpoint(path: Path, architecture: str, *, seed: int = 0, **options: Any) -> Path:
    """A checkpoint of a network that open_clip knows; ``options`` are those of its ``create_model``."""
    torch.manual_seed(seed)
    state = open_clip.create_model(architecture, **options).state_dict()
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path
