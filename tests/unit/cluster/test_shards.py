"""Grouping by shards and merging is one run: graph, components, groups of components and merge may each be in pieces.

As beyond one machine (docs/decisions/0017): each pair of shards is compared by a worker of its own, each shard joins
its own edges, components go to workers in batches, and centroids are merged at the end.
"""

import numpy as np
from sklearn.metrics import adjusted_rand_score

from tests.unit.cluster import synthetic_faces
from triptych_cluster.clustering import Faces, cluster_faces
from triptych_cluster.groups.fading_groups import faces_around, fading_groups
from triptych_cluster.groups.grouping import group_components
from triptych_cluster.groups.merging import merge_agreeing_groups
from triptych_cluster.groups.mixed_faces import mixed_faces
from triptych_cluster.neighbours.components import component_batches, component_labels, joined_components, part_of
from triptych_cluster.neighbours.exact import NeighbourGraph, nearest_neighbours, nearest_of, neighbours_between
from triptych_cluster.parameters import parameters_for
from triptych_cluster.sums import group_sums

ARCFACE = parameters_for("arcface-r50")
FACES, SHARDS = 20_000, 5


def test_grouping_by_shards_equals_one_run() -> None:
    embeddings, identity = synthetic_faces.generate(FACES, 51)
    photo_ids = np.arange(FACES) // 2
    one_run = cluster_faces(
        Faces(embeddings=embeddings, photo_ids=photo_ids, scores=np.ones(FACES, np.float32)), ARCFACE, search="exact"
    )

    shards = np.array_split(np.arange(FACES), SHARDS)
    graph = _by_shard_pairs(embeddings, photo_ids, shards)
    # Each worker has the edges of its own shard's faces, and knows nothing of the others' components.
    labels = joined_components([component_labels(_of_shard(graph, shard)) for shard in shards])
    assert (labels == component_labels(graph)).all()
    groups = np.full(FACES, -1)
    for batch in component_batches(labels, least_faces=ARCFACE.min_cluster_size, batch_faces=2000):
        part = part_of(graph, batch)
        found = group_components(part, [np.arange(len(batch))], photo_ids[batch], ARCFACE, on_faces=lambda done: None)
        groups[batch] = np.where(found.labels >= 0, found.labels + groups.max() + 1, -1)
    dense = np.where(groups >= 0, np.unique(groups, return_inverse=True)[1] - (groups.min() < 0), -1)
    merged = merge_agreeing_groups(dense, embeddings, photo_ids, ARCFACE, on_block=lambda done: None)
    merged = _without_nobodies(merged, embeddings, shards)

    outside = FACES + np.arange(FACES)
    ours, theirs = (np.where(found < 0, outside, found) for found in (merged, one_run.labels))
    assert adjusted_rand_score(ours, theirs) >= 0.999
    assert synthetic_faces.score(identity, merged)["bcubed_f1"] > 0.97


def _by_shard_pairs(embeddings: np.ndarray, photo_ids: np.ndarray, shards: list[np.ndarray]) -> NeighbourGraph:
    """For each shard the nearest of what it found in every shard."""
    rows = [
        nearest_of(
            [
                neighbours_between(
                    embeddings[own],
                    photo_ids[own],
                    embeddings[other],
                    photo_ids[other],
                    first_number=int(other[0]),
                    same=own is other,
                    metric=ARCFACE.metric,
                    neighbour_count=ARCFACE.neighbour_count,
                    ceiling=ARCFACE.ceiling,
                )
                for other in shards
            ]
        )
        for own in shards
    ]
    return NeighbourGraph(
        neighbours=np.concatenate([part.neighbours for part in rows]),
        distances=np.concatenate([part.distances for part in rows]),
    )


def _without_nobodies(labels: np.ndarray, embeddings: np.ndarray, shards: list[np.ndarray]) -> np.ndarray:
    """Each shard counts the faces around the groups and looks for faces between two, given all groups' sums."""
    labels = np.where(labels >= 0, np.unique(labels, return_inverse=True)[1] - (labels.min() < 0), -1)
    sums, counts = group_sums(labels, embeddings)
    groups = (sums, counts, ARCFACE)
    around = sum(
        (faces_around(labels[own], embeddings[own], *groups, on_share=lambda share: None) for own in shards),
        np.zeros(len(counts), np.int64),
    )
    labels = np.where(np.isin(labels, np.flatnonzero(fading_groups(around, counts, ARCFACE))), -1, labels)
    for own in shards:
        labels[own[mixed_faces(labels[own], embeddings[own], *groups, on_share=lambda share: None)]] = -1
    alone = np.flatnonzero(np.bincount(labels[labels >= 0], minlength=len(counts)) < ARCFACE.min_cluster_size)
    return np.where(np.isin(labels, alone), -1, labels)


def _of_shard(graph: NeighbourGraph, shard: np.ndarray) -> NeighbourGraph:
    """The edges that the shard's faces begin."""
    neighbours = np.full_like(graph.neighbours, -1)
    neighbours[shard] = graph.neighbours[shard]
    return NeighbourGraph(neighbours=neighbours, distances=graph.distances)


def test_the_nearest_of_two_shards_are_the_nearest_of_all() -> None:
    embeddings, _ = synthetic_faces.generate(1200, 52)
    photo_ids = np.arange(1200)
    whole = nearest_neighbours(
        embeddings,
        photo_ids,
        metric=ARCFACE.metric,
        neighbour_count=ARCFACE.neighbour_count,
        ceiling=ARCFACE.ceiling,
        on_block=lambda done: None,
    )
    parts = _by_shard_pairs(embeddings, photo_ids, np.array_split(np.arange(1200), 3))
    np.testing.assert_allclose(parts.distances, whole.distances, atol=1e-5)
    # Faces a rounding apart may change places.
    assert (parts.neighbours == whole.neighbours).mean() > 0.999
