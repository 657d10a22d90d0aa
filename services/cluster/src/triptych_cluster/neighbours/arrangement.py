"""The order in which faces are worked on, which depends on nothing but the faces, and their vectors in that order."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.parallel import in_parallel
from triptych_cluster.parameters import Metric
from triptych_cluster.workspace import Workspace

CHUNK_ROWS = 2048
"""Most rows that are looked at in one go: 4 MiB of 512 numbers, so nothing here needs memory for all of them."""
_PAIRS = 2**24
"""Pairs of rows that are compared in one go: a quarter of a second with 512 numbers."""


def chunks(row_count: int, *, compared_with: int | None = None) -> Iterator[slice]:
    """Slices of `CHUNK_ROWS` rows that together are all; of as many as can be compared with so many others."""
    rows = CHUNK_ROWS if compared_with is None else min(CHUNK_ROWS, max(1, _PAIRS // max(compared_with, 1)))
    for start in range(0, row_count, rows):
        yield slice(start, min(start + rows, row_count))


def content_order(
    embeddings: NDArray[np.float32], photo_ids: NDArray[np.int64], scores: NDArray[np.float32], *, seed: int = 0
) -> NDArray[np.intp]:
    """The faces, [n], by what they are: embedding, photo, then the better detected first, as ties go to it.

    Embeddings are ordered by a hash of their numbers, which the seed picks: so the first are a random sample of all,
    and most of it stays where others join. Should two different ones share theirs (one in 2³³ pairs at worst), which of
    the two is first is left to the rest.
    """
    return np.lexsort((-scores, photo_ids, _hashes(embeddings, seed)))


def arranged(
    embeddings: NDArray[np.float32], order: NDArray[np.intp], metric: Metric, workspace: Workspace
) -> NDArray[np.float32]:
    """The embeddings, checked before, in this order and prepared for the metric, in room of the workspace.

    Raises:
        OSError: if the workspace has no room.
    """
    rows = workspace.array(*embeddings.shape)

    def arrange(part: slice) -> None:
        rows[part] = metric.normalised(embeddings[order[part]])

    in_parallel(arrange, list(chunks(len(order))))
    return rows


def _hashes(embeddings: NDArray[np.float32], seed: int) -> NDArray[np.uint64]:
    """A hash of each row [n]: sums of its numbers' bits times random factors, modulo 2⁶⁴.

    D. Lemire, O. Kaser: Strongly universal string hashing is fast (2014), the multilinear family.
    """
    factors = np.random.default_rng(seed).integers(0, 2**64, embeddings.shape[1], np.uint64)
    hashes = np.empty(len(embeddings), np.uint64)

    def add_up(part: slice) -> None:
        # + 0 makes of -0 the 0 that it equals.
        bits = (embeddings[part] + np.float32(0)).view(np.uint32)
        hashes[part] = bits.astype(np.uint64) @ factors

    in_parallel(add_up, list(chunks(len(embeddings))))
    return hashes
