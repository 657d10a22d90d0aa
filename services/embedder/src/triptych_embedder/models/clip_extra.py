"""The modules that need PyTorch and open_clip: imported where they are asked for, and never with a network."""

import importlib
import os
from types import ModuleType
from typing import Final

from triptych_common.errors import ConfigurationError

_PACKAGES: Final = ("torch", "torchvision", "open_clip")


def import_clip_module(name: str) -> ModuleType:
    """A module of this package that stands on PyTorch and open_clip.

    Raises ConfigurationError where they are not installed.
    """
    # Read when huggingface_hub is first imported: whatever open_clip lacks, it then fails at once instead of asking.
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        return importlib.import_module(f"triptych_embedder.models.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        raise ConfigurationError(
            "PyTorch and open_clip are not installed: install the embedder with its extra"
            " (`pip install 'triptych-embedder[clip]'`), or set TRIPTYCH_MODEL to an ONNX export (onnx:NAME/TAG)."
        ) from error
