"""Groups that fade out: blurred faces of many people that resemble each other, and have no end where others begin.

A person's faces end: beyond them is a gap, and then come strangers. What poor faces have in common they have to any
degree, so the ceiling cuts through their midst, and about as many lie around such a group, in none, as within it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.neighbours.arrangement import chunks
from triptych_cluster.neighbours.exact import neighbours_between
from triptych_cluster.parallel import in_parallel
from triptych_cluster.parameters import Parameters


def faces_around(
    labels: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    sums: NDArray[np.float32],
    counts: NDArray[np.int64],
    parameters: Parameters,
    *,
    on_share: Callable[[float], None],
) -> NDArray[np.int64]:
    """How many faces in no group lie around each group, [g]; 0 for those of fewer than `fading_least_faces`.

    Around a group are the faces below the ceiling from its centroid, and nearer to it than to any other such group's.
    Those of several shards add up.

    Args:
        labels: int64 [n], group of each face, -1 for none; of all faces or of a shard's.
        embeddings: float32 [n, d], prepared for the metric.
        sums: float32 [g, d], of each group's rows.
        counts: int64 [g], faces of each group.
        parameters: of the faces' model.
        on_share: called before each piece of work with the share 0..1 that is done; may raise to stop the work.
    """
    large = np.flatnonzero(counts >= parameters.fading_least_faces)
    centroids = parameters.metric.centroids(sums[large], counts[large])
    outside = np.flatnonzero(labels < 0)
    nearest = np.empty(len(outside), np.int32)

    def find(part: slice) -> None:
        nearest[part] = neighbours_between(
            embeddings[outside[part]],
            # Nobody's photo is a group's.
            np.full(part.stop - part.start, -1),
            centroids,
            large,
            first_number=0,
            same=False,
            metric=parameters.metric,
            neighbour_count=1,
            ceiling=parameters.ceiling,
        ).neighbours[:, 0]

    parts = list(chunks(len(outside), compared_with=len(large)))
    in_parallel(find, parts, on_part=lambda done: on_share(done / len(parts)))
    around = np.zeros(len(counts), np.int64)
    around[large] = np.bincount(nearest[nearest >= 0], minlength=len(large))
    return around


def fading_groups(around: NDArray[np.int64], counts: NDArray[np.int64], parameters: Parameters) -> NDArray[np.bool_]:
    """Which groups [g] have `fading_share` times as many faces around them as in them, or more.

    Groups of fewer than `fading_least_faces` have not: around so few, a number of faces says nothing.
    """
    return (counts >= parameters.fading_least_faces) & (around >= parameters.fading_share * counts)
