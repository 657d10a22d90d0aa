"""Arrays whose first number lies where a cache line begins, so that rows of vectors do not straddle lines.

malloc aligns to 16 bytes: each load of 64 bytes then touches two lines, which linking, made of products of rows, pays
throughout.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

LINE_BYTES: Final = 64
"""Of a cache line on x86-64, and on most ARM64."""


def aligned_empty(rows: int, columns: int) -> NDArray[np.float32]:
    """Room for float32 [rows, columns], its content undefined; its rows are aligned as well where columns is n·16."""
    size_bytes = 4 * rows * columns
    room = np.empty(size_bytes + LINE_BYTES, np.uint8)
    start = -room.ctypes.data % LINE_BYTES
    return room[start : start + size_bytes].view(np.float32).reshape(rows, columns)


def aligned_rows(rows: NDArray[np.float32], numbers: NDArray[np.intp]) -> NDArray[np.float32]:
    """A copy of the rows [n, d] of these numbers [m], [m, d]."""
    chosen = aligned_empty(len(numbers), rows.shape[1])
    # Clipping leaves out a buffer between; all numbers are within.
    return np.take(rows, numbers, axis=0, out=chosen, mode="clip")
