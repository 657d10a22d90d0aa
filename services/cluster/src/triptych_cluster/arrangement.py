"""The order in which faces are worked on, which depends on nothing but the faces, and their vectors in that order."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.parameters import Metric
from triptych_cluster.workspace import Workspace

CHUNK_ROWS = 4096
"""Rows that are looked at in one go: 8 MiB of 512 numbers, so nothing here needs memory for all of them."""


def chunks(row_count: int) -> Iterator[slice]:
    """Slices of `CHUNK_ROWS` rows that together are all."""
    for start in range(0, row_count, CHUNK_ROWS):
        yield slice(start, min(start + CHUNK_ROWS, row_count))


def content_order(
    embeddings: NDArray[np.float32], photo_ids: NDArray[np.int64], scores: NDArray[np.float32]
) -> NDArray[np.intp]:
    """The faces, [n], by what they are: embedding, photo, then the better detected first, as ties go to it.

    Embeddings are ordered by a hash of their numbers. Should two different ones share theirs (one in 2³³ pairs at
    worst), which of the two is first is left to the rest.
    """
    return np.lexsort((-scores, photo_ids, _hashes(embeddings)))


def arranged(
    embeddings: NDArray[np.float32], order: NDArray[np.intp], metric: Metric, workspace: Workspace
) -> NDArray[np.float32]:
    """The embeddings, checked before, in this order and prepared for the metric, in room of the workspace.

    Raises:
        OSError: if the workspace has no room.
    """
    rows = workspace.array(*embeddings.shape)
    for part in chunks(len(order)):
        rows[part] = metric.normalised(embeddings[order[part]])
    return rows


def _hashes(embeddings: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A hash of each row [n]: sums of its numbers' bits times fixed random factors, modulo 2⁶⁴.

    D. Lemire, O. Kaser: Strongly universal string hashing is fast (2014), the multilinear family.
    """
    factors = np.random.default_rng(0).integers(0, 2**64, embeddings.shape[1], np.uint64)
    hashes = np.empty(len(embeddings), np.uint64)
    for part in chunks(len(embeddings)):
        # + 0 makes of -0 the 0 that it equals.
        bits = (embeddings[part] + np.float32(0)).view(np.uint32)
        hashes[part] = bits.astype(np.uint64) @ factors
    return hashes
