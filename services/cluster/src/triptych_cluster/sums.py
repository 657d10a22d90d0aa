"""Sums of the rows of each group, which its centre comes from."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


def group_sums(
    labels: NDArray[np.integer], rows: NDArray[np.float32], *, least_groups: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The sum [g, d] of the rows [n, d] of each group and their number [g], for labels [n] 0..g-1, -1 being none.

    There are as many groups as the labels name, and `least_groups` at least.
    """
    members = np.flatnonzero(labels >= 0)
    counts = np.bincount(labels[members], minlength=least_groups)
    # A product with a matrix of ones reads each row once and copies none.
    ones = csr_array((np.ones(len(members), np.float32), (labels[members], members)), shape=(len(counts), len(rows)))
    return ones @ rows, counts
