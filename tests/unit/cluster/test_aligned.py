"""Rows of vectors begin where cache lines do."""

import numpy as np
import pytest

from triptych_cluster.aligned import LINE_BYTES, aligned_empty, aligned_rows
from triptych_cluster.workspace import IN_MEMORY


@pytest.mark.parametrize("rows", [1, 3, 1000])
@pytest.mark.parametrize("columns", [16, 128, 512])
def test_every_row_begins_with_a_line(rows: int, columns: int) -> None:
    for room in (aligned_empty(rows, columns), IN_MEMORY.array(rows, columns)):
        assert room.shape == (rows, columns)
        assert room.dtype == np.float32
        assert room.flags.c_contiguous
        assert room.flags.writeable
        assert room.ctypes.data % LINE_BYTES == 0
        assert room.strides[0] % LINE_BYTES == 0


def test_no_rows_are_fine() -> None:
    assert aligned_empty(0, 16).shape == (0, 16)


def test_chosen_rows_are_copies_in_the_order_of_their_numbers() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    chosen = aligned_rows(rows, np.array([3, 0, 3], np.intp))
    assert chosen.tolist() == [[9, 10, 11], [0, 1, 2], [9, 10, 11]]
    chosen[:] = 0
    assert rows[3].tolist() == [9, 10, 11]
