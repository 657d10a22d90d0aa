"""How alike two groupings of the same faces are."""

import numpy as np
from numpy.typing import NDArray


def adjusted_rand_index(first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """1 for the same grouping, about 0 for unrelated ones; faces in no group (below 0) each stand alone.

    L. Hubert, P. Arabie: Comparing Partitions (1985).
    """
    alone = [np.where(one >= 0, one, one.max(initial=-1) + 1 + np.arange(len(one))) for one in (first, second)]
    together = _pairs(np.unique(np.column_stack(alone), axis=0, return_counts=True)[1])
    rows, columns = (_pairs(np.unique(one, return_counts=True)[1]) for one in alone)
    expected = rows * columns / _pairs(np.array([len(first)]))
    return (together - expected) / ((rows + columns) / 2 - expected)


def _pairs(counts: NDArray[np.integer]) -> float:
    return float((counts * (counts - 1.0) / 2).sum())
