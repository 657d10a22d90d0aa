"""What devices tell of their memory: the process's own, and a GPU's where a driver answers."""

import os
import sys
from types import SimpleNamespace

import pytest

from triptych_common.models.device_memory import HostMemory
from triptych_common.models.nvidia import nvidia_memory, visible_gpu
from triptych_common.process_memory import resident_bytes

_MEBIBYTE = 2**20


def test_what_a_computation_takes_is_missing_while_it_runs() -> None:
    memory = HostMemory(resident_bytes() + 500 * _MEBIBYTE)
    free = memory.free_bytes()
    assert 400 * _MEBIBYTE < free <= 500 * _MEBIBYTE

    def take_and_let_go() -> None:
        assert len(bytearray(os.urandom(_MEBIBYTE)) * 64) == 64 * _MEBIBYTE

    least = memory.least_free_bytes(take_and_let_go)
    assert least < free - 60 * _MEBIBYTE
    assert memory.has_free(300 * _MEBIBYTE) and not memory.has_free(600 * _MEBIBYTE)


def test_a_process_above_its_ceiling_has_nothing_free() -> None:
    assert HostMemory(1).free_bytes() == 0


@pytest.mark.parametrize(
    ("index", "visible", "gpu"),
    [(1, None, 1), (0, "3", 3), (1, "3, 2", 2), (0, "GPU-5ebe9f43", "GPU-5ebe9f43")],
)
def test_a_gpu_is_found_by_the_number_that_cuda_gives_it(index: int, visible: str | None, gpu: int | str) -> None:
    assert visible_gpu(index, visible) == gpu


@pytest.mark.parametrize("visible", ["", "3"])
def test_a_gpu_that_is_hidden_is_said_to_be(visible: str) -> None:
    with pytest.raises(OSError, match="hides device 1"):
        visible_gpu(1, visible)


def test_without_the_package_or_the_driver_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(OSError, match="nvidia-ml-py is not installed"):
        nvidia_memory("cuda:0").free_bytes()

    class NVMLError(Exception):
        pass

    def no_driver() -> None:
        raise NVMLError("Driver Not Loaded")

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(NVMLError=NVMLError, nvmlInit=no_driver))
    with pytest.raises(OSError, match="Driver Not Loaded"):
        nvidia_memory("tensorrt:1").free_bytes()


def test_a_gpus_free_memory_is_what_the_driver_says_of_that_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's answers are made up here; a machine with a GPU is needed for its own."""
    free = {0: 11, "GPU-b": 22}
    ended: list[None] = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-b")
    library = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: ended.append(None),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(free=free[handle]),
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert nvidia_memory("cuda:0").free_bytes() == 11
    ran: list[int] = []
    assert nvidia_memory("tensorrt:1").least_free_bytes(lambda: ran.append(1)) == 22
    assert ran == [1]
    assert len(ended) == 2
