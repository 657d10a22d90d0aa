"""ONNX Runtime sessions on the device that was asked for, and on no other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from triptych_common.errors import ConfigurationError
from triptych_common.models.description import DeviceMemoryError
from triptych_common.models.devices import Device

_CPU: Final = "CPUExecutionProvider"
_CUDA: Final = "CUDAExecutionProvider"
_TENSORRT: Final = "TensorrtExecutionProvider"

_OUT_OF_MEMORY: Final = (
    "failed to allocate memory",
    "out of memory",
    "bad allocation",
    "std::bad_alloc",
    "cudnn_status_alloc_failed",
    "cublas_status_alloc_failed",
)
"""What ONNX Runtime's allocators, CUDA, cuDNN and cuBLAS say; there is no error of its own for it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxSession:
    """A network that is loaded, and where it really runs."""

    session: onnxruntime.InferenceSession
    device: str
    """Such as "cpu", "cuda:0" or "tensorrt:0"."""


def open_session(network: bytes | Path, *, device: Device, threads: int) -> OnnxSession:
    """Load a network onto a device; ``threads`` ≥ 1 are for computing on a CPU.

    Raises ConfigurationError where the device is asked for and cannot be had: ONNX Runtime itself would go on without a
    provider that fails to start, which is a silent CPU.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between micro-batches would take the cores that decode the next one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    kind = _choose(device)
    session = onnxruntime.InferenceSession(
        network if isinstance(network, bytes) else str(network), options, providers=_providers(kind, device.index)
    )
    running = session.get_providers()[0]
    wanted = {"cuda": _CUDA, "tensorrt": _TENSORRT}.get(kind, _CPU)
    if running != wanted:
        if device.kind != "auto":
            raise ConfigurationError(
                f"TRIPTYCH_DEVICE is {device}, but ONNX Runtime could not start it; its log says why."
            )
        kind = {_CUDA: "cuda", _TENSORRT: "tensorrt"}.get(running, "cpu")
    return OnnxSession(session=session, device=kind if kind == "cpu" else f"{kind}:{device.index}")


def run_session(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
) -> list[NDArray[Any]]:
    """The named outputs of a network. Raises DeviceMemoryError where memory ran out, and what ONNX Runtime raises."""
    try:
        values: list[NDArray[Any]] = session.run(list(outputs), dict(inputs))
    except (runtime.RuntimeException, runtime.Fail, MemoryError) as error:
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _OUT_OF_MEMORY):
            raise DeviceMemoryError(str(error)) from error
        raise
    return values


def _choose(device: Device) -> str:
    """The kind of device to run on. Raises ConfigurationError for one that this ONNX Runtime was built without."""
    available = onnxruntime.get_available_providers()
    if device.kind == "auto":
        return "cuda" if _CUDA in available else "cpu"
    if (device.kind == "cuda" and _CUDA not in available) or (device.kind == "tensorrt" and _TENSORRT not in available):
        raise ConfigurationError(
            f"TRIPTYCH_DEVICE is {device}, but this ONNX Runtime cannot use it: install onnxruntime-gpu on a machine"
            " with an NVIDIA GPU, or set TRIPTYCH_DEVICE=cpu."
        )
    return device.kind


def _providers(kind: str, index: int) -> list[Any]:
    """ONNX Runtime's providers for a kind of device, in order of preference."""
    numbered = {"device_id": str(index)}
    chains: dict[str, list[Any]] = {
        "cpu": [_CPU],
        "cuda": [(_CUDA, numbered), _CPU],
        "tensorrt": [(_TENSORRT, numbered), (_CUDA, numbered), _CPU],
    }
    return chains[kind]
