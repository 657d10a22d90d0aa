"""Precisions: what ``auto`` takes, and what is refused where it cannot be had."""

import pytest

from triptych_common.errors import ConfigurationError
from triptych_embedder.models.precision import WantedPrecision, choose_precision, require_fp32


@pytest.mark.parametrize(
    ("wanted", "device", "chosen"),
    [
        ("auto", "cpu", "fp32"),
        ("auto", "cuda:0", "fp16"),
        ("fp32", "cpu", "fp32"),
        ("fp32", "cuda:1", "fp32"),
        ("fp16", "cuda:0", "fp16"),
        ("bf16", "cpu", "bf16"),
        ("bf16", "cuda:0", "bf16"),
    ],
)
def test_a_precision_is_had(wanted: WantedPrecision, device: str, chosen: str) -> None:
    assert choose_precision(wanted, device=device, has_bf16=True) == chosen


def test_a_precision_that_the_device_has_not_got_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="TRIPTYCH_PRECISION is fp16, which a CPU"):
        choose_precision("fp16", device="cpu", has_bf16=True)
    with pytest.raises(ConfigurationError, match="TRIPTYCH_PRECISION is bf16, which the device cuda:0"):
        choose_precision("bf16", device="cuda:0", has_bf16=False)


def test_a_network_that_is_fixed_takes_no_other() -> None:
    require_fp32("auto", model="it")
    require_fp32("fp32", model="it")
    for wanted in ("fp16", "bf16"):
        with pytest.raises(ConfigurationError, match=f"TRIPTYCH_PRECISION is {wanted}, but it computes with fp32"):
            require_fp32(wanted, model="it")
