"""How much memory a device has free, and how little of it a computation leaves."""

from collections.abc import Callable
from typing import Protocol

from triptych_common.process_memory import available_bytes, forget_peak, peak_bytes, resident_bytes


class DeviceMemory(Protocol):
    """The memory that a model computes in."""

    def free_bytes(self) -> int:
        """What may still be taken. Raises OSError where the device does not tell."""

    def least_free_bytes(self, run: Callable[[], None]) -> int:
        """What was free while ``run`` had taken most. Raises OSError where the device does not tell, and what it
        raises."""


class HostMemory:
    """The memory of the process, for a model that runs on a CPU."""

    def __init__(self, ceiling_bytes: int | None = None) -> None:
        self._ceiling_bytes = ceiling_bytes

    def free_bytes(self) -> int:
        """What the machine has available, or the control group or the ceiling leave if that is less, ≥ 0."""
        free = available_bytes()
        return free if self._ceiling_bytes is None else max(0, min(free, self._ceiling_bytes - resident_bytes()))

    def has_free(self, needed_bytes: int) -> bool:
        """Whether so much may still be taken; False where that cannot be seen."""
        try:
            return self.free_bytes() >= needed_bytes
        except OSError:
            return False

    def least_free_bytes(self, run: Callable[[], None]) -> int:
        """By the peak of the resident set, which other threads of the process add to."""
        free = self.free_bytes()
        forget_peak()
        before = peak_bytes()
        run()
        return max(0, free - (peak_bytes() - before))


class AcceleratorMemory:
    """The memory of a GPU, by a function that tells what of it is free.

    The runtimes of networks keep what they took for the next call, so what is free after a call was free during it.
    """

    def __init__(self, free_bytes: Callable[[], int]) -> None:
        self.free_bytes = free_bytes

    def least_free_bytes(self, run: Callable[[], None]) -> int:
        """What is free once it has ended."""
        run()
        return self.free_bytes()
