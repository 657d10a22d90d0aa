"""Devices: what can be asked for, and what is refused."""

import pytest

from triptych_common.models.devices import AUTO, CPU, Device


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda:0", "cuda:3", "tensorrt:0", "tensorrt:12"])
def test_a_device_is_read_and_written_alike(text: str) -> None:
    assert str(Device.parse(text)) == text


def test_an_accelerator_without_a_number_is_the_first() -> None:
    assert (Device.parse("cuda"), Device.parse("auto"), Device.parse("cpu")) == (Device(kind="cuda"), AUTO, CPU)


@pytest.mark.parametrize(
    "text", ["", "gpu", "cpu:0", "auto:1", "cuda:", "cuda:-1", "cuda:x", "cuda:1:2", "cuda:²", "CPU"]
)
def test_what_is_no_device_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="set auto, cpu, cuda"):
        Device.parse(text)
