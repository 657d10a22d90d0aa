"""What NVIDIA GPUs say of their memory."""

import os

from triptych_common.models.device_memory import AcceleratorMemory


def nvidia_memory(device: str) -> AcceleratorMemory:
    """The memory of a device such as "cuda:0" or "tensorrt:1", by NVIDIA's management library (NVML).

    The library numbers GPUs by their place on the bus. So does CUDA where all are of one kind, or where
    CUDA_DEVICE_ORDER is PCI_BUS_ID.
    """
    return AcceleratorMemory(lambda: _free_bytes(int(device.partition(":")[2])))


def _free_bytes(index: int) -> int:
    """Raises OSError where the package nvidia-ml-py is not installed, or the driver does not answer."""
    try:
        import pynvml  # noqa: PLC0415 - only images for GPUs have it
    except ModuleNotFoundError as error:
        raise OSError("the package nvidia-ml-py is not installed") from error
    try:
        pynvml.nvmlInit()
        try:
            name = visible_gpu(index, os.environ.get("CUDA_VISIBLE_DEVICES"))
            find = pynvml.nvmlDeviceGetHandleByIndex if isinstance(name, int) else pynvml.nvmlDeviceGetHandleByUUID
            return int(pynvml.nvmlDeviceGetMemoryInfo(find(name)).free)
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        raise OSError(f"NVIDIA's driver does not tell: {error}") from error


def visible_gpu(index: int, visible: str | None) -> int | str:
    """The number or the UUID of CUDA's device ``index``, by CUDA_VISIBLE_DEVICES. Raises OSError where it is hidden."""
    if visible is None:
        return index
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if index >= len(names):
        raise OSError(f"CUDA_VISIBLE_DEVICES={visible} hides device {index}")
    return int(names[index]) if names[index].isdecimal() else names[index]
