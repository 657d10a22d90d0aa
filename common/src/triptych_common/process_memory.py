"""How much memory this process has, and how much it may have."""

import ctypes
import gc
import os
from pathlib import Path
from typing import Any, Final

from triptych_common.errors import ConfigurationError

_STATM: Final = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Memory that this process has now: its resident set (proc(5), statm). Raises OSError where there is no /proc."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def give_back_memory() -> None:
    """Collect garbage, and return what the allocator keeps to the operating system, where it can be asked to."""
    gc.collect()
    # glibc's alone; other allocators return memory by themselves.
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class MemoryCeiling:
    """The resident memory that this process may come to; none where it is None."""

    def __init__(self, ceiling_bytes: int | None) -> None:
        self._ceiling_bytes = ceiling_bytes

    def require_room(self, needed_bytes: int) -> None:
        """Raise ConfigurationError where so much more would go beyond: the process could never work."""
        if self._ceiling_bytes is None:
            return
        try:
            resident = resident_bytes()
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
        if self._ceiling_bytes is None or resident_bytes() + needed_bytes <= self._ceiling_bytes:
            return True
        give_back_memory()
        return resident_bytes() + needed_bytes <= self._ceiling_bytes
