"""Running an ONNX network, and telling where the device's memory ran out."""

from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray
from onnxruntime import InferenceSession
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from triptych_common.models import DeviceMemoryError

_SIGNS: Final = (
    "failed to allocate memory",
    "out of memory",
    "bad allocation",
    "std::bad_alloc",
    "cudnn_status_alloc_failed",
    "cublas_status_alloc_failed",
)
"""What ONNX Runtime's allocators, CUDA, cuDNN and cuBLAS say; it has no error of its own for it."""


def run_network(session: InferenceSession, inputs: Mapping[str, NDArray[Any]], *, output: str) -> NDArray[Any]:
    """One output of a network. Raises DeviceMemoryError where memory ran out, and what ONNX Runtime raises."""
    try:
        (value,) = session.run([output], dict(inputs))
    except (runtime.RuntimeException, runtime.Fail, MemoryError) as error:
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _SIGNS):
            raise DeviceMemoryError(str(error)) from error
        raise
    result: NDArray[Any] = value
    return result
