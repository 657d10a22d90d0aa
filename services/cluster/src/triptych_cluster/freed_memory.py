"""Has the process keep a little of the memory that it frees, for what it needs next.

Messages of a few megabytes come and go, and so do NumPy's temporaries. By default the GNU C library takes each from the
kernel and gives it back, so that every page is zeroed and mapped anew: half of the time in which a call receives its
faces (docs/models.md).
"""

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_TOP_PAD: Final = -2
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""Numbers of the parameters in malloc.h; see mallopt(3)."""

LARGEST_BYTES: Final = 32 * 2**20
"""Least size of what still comes from the kernel and goes back at once; glibc takes no more."""
KEPT_BYTES: Final = 128 * 2**20
"""Most memory that stays free at the heap's end."""
_STEP_BYTES: Final = 16 * 2**20


def keep_freed_memory() -> bool:
    """Let malloc reuse blocks of less than `LARGEST_BYTES`; call it once, before there are threads.

    Returns whether the C library can do so; where it is not the GNU one, everything stays as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    wishes = {
        _MMAP_THRESHOLD: LARGEST_BYTES,
        _TRIM_THRESHOLD: KEPT_BYTES,
        _TOP_PAD: _STEP_BYTES,
        # Threads would have heaps of their own, of 64 MiB each, which go back to the kernel as soon as they are empty.
        _ARENA_MAX: 1,
    }
    return all(mallopt(parameter, value) for parameter, value in wishes.items())
