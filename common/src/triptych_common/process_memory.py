"""How much memory this process has, and how much it may have."""

import ctypes
import gc
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from triptych_common.errors import ConfigurationError

_STATM: Final = Path("/proc/self/statm")
_STATUS: Final = Path("/proc/self/status")
_CLEAR_REFS: Final = Path("/proc/self/clear_refs")
_MEMINFO: Final = Path("/proc/meminfo")
_CONTROL_GROUPS: Final = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Directory, limit, use, and what of the use is files that nobody reads, of either version; the last is a line of
memory.stat."""


def resident_bytes() -> int:
    """Memory that this process has now: its resident set (proc(5), statm). Raises OSError where there is no /proc."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most memory that this process had since it began, or since the peak was forgotten. Raises OSError."""
    return _number(_STATUS, "VmHWM") * 1024


def forget_peak() -> None:
    """From here on the peak is what the process has now (proc(5), clear_refs). Raises OSError where it is not to be
    had."""
    _CLEAR_REFS.write_text("5")


def machine_bytes() -> int:
    """The memory that this process can have: its control group's limit, or the machine's memory if that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for limit, _ in _control_groups())])


def available_bytes() -> int:
    """The memory that this process can still have: what the machine has available (proc(5), MemAvailable), or what its
    control group leaves if that is less. Raises OSError where there is no /proc.
    """
    left = [max(0, limit - used) for limit, used in _control_groups()]
    return min([_number(_MEMINFO, "MemAvailable") * 1024, *left])


def _control_groups() -> list[tuple[int, int]]:
    """The limit of each control group that has one, and what is used of it and cannot be had back by dropping files."""
    groups = []
    for directory, limit, use, files in _CONTROL_GROUPS:
        most = (directory / limit).read_text().strip() if (directory / limit).exists() else "max"
        if most != "max":
            used = int((directory / use).read_text()) - _number(directory / "memory.stat", files)
            groups.append((int(most), used))
    return groups


def _number(file: Path, name: str) -> int:
    """The number behind a name in a file of such lines. Raises OSError where it has none."""
    found = re.search(rf"^{name}:?\s+(\d+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{file} does not tell of {name}")
    return int(found[1])


def give_back_memory() -> None:
    """Collect garbage, and return what the allocator keeps to the operating system, where it can be asked to."""
    gc.collect()
    # glibc's alone; other allocators return memory by themselves.
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class MemoryCeiling:
    """The resident memory that this process may come to; none where it is None.

    ``beside`` tells what processes take that belong to this one.
    """

    def __init__(self, ceiling_bytes: int | None, *, beside: Callable[[], int] = lambda: 0) -> None:
        self._ceiling_bytes = ceiling_bytes
        self._beside = beside

    def require_room(self, needed_bytes: int) -> None:
        """Raise ConfigurationError where so much more would go beyond: the process could never work."""
        if self._ceiling_bytes is None:
            return
        try:
            resident = self._taken_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"TRIPTYCH_MEMORY_CEILING_BYTES cannot be kept here: {error}. Leave it unset."
            ) from error
        if resident + needed_bytes > self._ceiling_bytes:
            raise ConfigurationError(
                f"TRIPTYCH_MEMORY_CEILING_BYTES is {self._ceiling_bytes}, but the process takes {resident} bytes with"
                f" its model loaded and needs {needed_bytes} for photos: set it to at least {resident + needed_bytes},"
                " or TRIPTYCH_DECODED_BYTES lower."
            )

    def has_room(self, needed_bytes: int) -> bool:
        """Whether so much more stays below the ceiling, if need be after giving back what is not in use."""
        if self._ceiling_bytes is None or self._taken_bytes() + needed_bytes <= self._ceiling_bytes:
            return True
        give_back_memory()
        return self._taken_bytes() + needed_bytes <= self._ceiling_bytes

    def _taken_bytes(self) -> int:
        return resident_bytes() + self._beside()
