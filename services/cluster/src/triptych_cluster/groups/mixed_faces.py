"""Faces between two people (a child's in a parent's group, two exposures in one, a morph): they belong to neither."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from triptych_cluster.neighbours.arrangement import chunks
from triptych_cluster.neighbours.exact import neighbours_between
from triptych_cluster.parallel import in_parallel
from triptych_cluster.parameters import Parameters

_OTHERS = 4
"""Nearest other people that a face may be partly of: with look-alike siblings, the one in question is not the first."""


def mixed_faces(
    labels: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    sums: NDArray[np.float32],
    counts: NDArray[np.int64],
    parameters: Parameters,
    *,
    on_share: Callable[[float], None],
) -> NDArray[np.intp]:
    """The faces of groups that are to `mixed_share` or more another group's, ascending.

    Each is compared with the centre of its own group without it, so that it cannot speak for itself, and is taken for a
    mixture of that centre and another one: see `Metric.share_of_other`. That is asked only of faces that are further
    than `sure_distance` from their own centre, and of groups further than `merge_distance` from it: of two that agree,
    but may not merge, a face may well resemble both.

    Args:
        labels: int64 [n], group of each face, -1 for none; of all faces or of a shard's.
        embeddings: float32 [n, d], prepared for the metric.
        sums: float32 [g, d], of each group's rows.
        counts: int64 [g], faces of each group, ≥ 2.
        parameters: of the faces' model.
        on_share: called before each piece of work with the share 0..1 that is done; may raise to stop the work.
    """
    metric = parameters.metric
    centroids = metric.centroids(sums, counts)
    groups = np.arange(len(centroids))
    asked = _unsure(labels, embeddings, sums, counts, parameters, on_chunk=lambda: on_share(0.0))
    # Who is to this share of somebody is nearer to them than a stranger is, by half of it at least.
    reach = parameters.stranger_distance * (1 - parameters.mixed_share / 2)
    mixed = np.zeros(len(asked), bool)

    def judge(part: slice) -> None:
        faces, own = embeddings[asked[part]], labels[asked[part]]
        near = neighbours_between(
            faces,
            # A face's own group must not be found, as two faces of one photo must not.
            own,
            centroids,
            groups,
            first_number=0,
            same=False,
            metric=metric,
            neighbour_count=min(_OTHERS, len(groups)),
            ceiling=reach,
        ).neighbours
        place, slots = np.nonzero(near >= 0)
        others = centroids[near[place, slots]]
        centres = metric.centroids(sums[own[place]] - faces[place], counts[own[place]] - 1)
        apart = metric.distances_of_pairs(centres, others) > parameters.merge_distance
        shares = metric.share_of_other(faces[place], centres, others)
        mixed[part.start + place[apart & (shares >= parameters.mixed_share)]] = True

    parts = list(chunks(len(asked), compared_with=len(groups)))
    in_parallel(judge, parts, on_part=lambda done: on_share(done / len(parts)))
    return asked[mixed]


def _unsure(
    labels: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    sums: NDArray[np.float32],
    counts: NDArray[np.int64],
    parameters: Parameters,
    *,
    on_chunk: Callable[[], None],
) -> NDArray[np.intp]:
    """The faces of groups that are further than `sure_distance` from the centre of the others in their group."""
    members = np.flatnonzero(labels >= 0)
    unsure = np.zeros(len(members), bool)

    def judge(part: slice) -> None:
        own = labels[members[part]]
        away = parameters.metric.distances_from_rest(embeddings[members[part]], sums[own], counts[own])
        unsure[part] = away > parameters.sure_distance

    in_parallel(judge, list(chunks(len(members))), on_part=lambda done: on_chunk())
    return members[unsure]
