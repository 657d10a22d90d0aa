"""Which numbers a model computes with, out of what was asked for and what the device can do."""

from typing import Literal

from triptych_common.errors import ConfigurationError
from triptych_common.models.description import Precision

WantedPrecision = Literal["auto", "fp32", "fp16", "bf16"]
"""``auto`` is fp32 on a CPU and fp16 on a GPU; all others are had or refused."""


def choose_precision(wanted: WantedPrecision, *, device: str, has_bf16: bool) -> Precision:
    """The precision to compute with in PyTorch; ``device`` such as "cpu" or "cuda:0".

    fp16 has three more bits for the fraction than bf16, so its vectors are nearer to those of fp32.

    Raises ConfigurationError for fp16 on a CPU, and for bf16 on a device that has not got it.
    """
    if wanted == "auto":
        return "fp32" if device == "cpu" else "fp16"
    if wanted == "fp16" and device == "cpu":
        raise ConfigurationError("TRIPTYCH_PRECISION is fp16, which a CPU does not compute with: set auto or fp32.")
    if wanted == "bf16" and not has_bf16:
        raise ConfigurationError(
            f"TRIPTYCH_PRECISION is bf16, which the device {device} does not compute with: set auto or fp32."
        )
    return wanted


def require_fp32(wanted: WantedPrecision, *, model: str) -> None:
    """Refuse any other precision for a model whose network file fixes it. Raises ConfigurationError."""
    if wanted not in ("auto", "fp32"):
        raise ConfigurationError(
            f"TRIPTYCH_PRECISION is {wanted}, but {model} computes with fp32 alone: set auto or fp32."
        )
