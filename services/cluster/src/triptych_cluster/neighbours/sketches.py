"""Sketches of faces: their projections onto the few directions in which they differ most, quick to compare."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.aligned import aligned_empty
from triptych_cluster.neighbours.arrangement import chunks
from triptych_cluster.parallel import in_parallel, one_blas_thread
from triptych_cluster.parameters import Metric

SKETCH_DIMENSION: Final = 128
"""Numbers of a sketch. With 96, a third of the edges are missed instead of a fifth."""

_BASIS_SAMPLES = 8192
_KEPT_PRODUCT = 0.25
"""Share of their inner product that two faces at the ceiling keep in their sketches, at least: 0.24 was the least of
500,000 pairs, and 0.29 that of 999 in 1000 among people with 2 to 4 faces."""


@dataclass(frozen=True, kw_only=True)
class Sketches:
    """Sketches of n faces, such that products of the one form with the other rank pairs as closeness does.

    Attributes:
        asking: float32 [n, s], as they are multiplied by others.
        asked: float32 [n, s], as others are multiplied by them; the same array for cosine.
    """

    asking: NDArray[np.float32]
    asked: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[np.float32], metric: Metric) -> "Sketches":
        """Those of projected rows [n, s]. For Euclidean, a·b − half(b): what it lacks is the same for all b."""
        if metric is Metric.COSINE:
            return cls(asking=rows, asked=rows)
        ones = np.ones((len(rows), 1), np.float32)
        return cls(
            asking=np.concatenate([rows, ones], axis=1),
            asked=np.concatenate([rows, -metric.half_squares(rows)[:, None]], axis=1),
        )

    def floors(self, part: slice, metric: Metric, ceiling: float) -> NDArray[np.float32]:
        """Products [m] of some sketches that those of faces at or below the ceiling are hardly ever below.

        Never for Euclidean: a projection shortens every distance.
        """
        asking = self.asking[part]
        if metric is Metric.COSINE:
            return np.full(len(asking), _KEPT_PRODUCT * (1 + metric.closeness(ceiling)), np.float32)
        slack = np.float32(1e-4)
        return np.float32(metric.closeness(ceiling) * (1 + slack)) + (1 - slack) * metric.half_squares(asking[:, :-1])


def projected(
    embeddings: NDArray[np.float32],
    order: NDArray[np.intp],
    metric: Metric,
    *,
    on_chunk: Callable[[], None],
) -> NDArray[np.float32]:
    """The faces' projections onto the principal directions of the first of them, [n, s], in this order.

    About the origin for cosine, whose inner products it is to keep; about the mean for Euclidean distances.

    Args:
        embeddings: float32 [n, d], checked but not prepared for the metric.
        order: intp [n].
        metric: how two rows are compared.
        on_chunk: called while it takes time; may raise to stop the work.
    """
    sample = metric.normalised(embeddings[order[:_BASIS_SAMPLES]])
    mean = sample.mean(axis=0) if metric is Metric.EUCLIDEAN else np.zeros(sample.shape[1], np.float32)
    sample = sample - mean
    moments = (sample.T @ sample).astype(np.float64)
    # Threads would wait for each other at every column: 2 s instead of 0.1 on a busy machine.
    with one_blas_thread():
        _, directions = np.linalg.eigh(moments)
    basis = directions[:, ::-1][:, :SKETCH_DIMENSION].astype(np.float32)
    offset = mean @ basis
    sketches = aligned_empty(len(order), basis.shape[1])

    def project(part: slice) -> None:
        np.matmul(metric.normalised(embeddings[order[part]]), basis, out=sketches[part])
        sketches[part] -= offset

    in_parallel(project, list(chunks(len(order))), on_part=lambda done: on_chunk())
    return sketches
