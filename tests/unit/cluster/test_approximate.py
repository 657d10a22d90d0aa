"""The approximate graph holds nearly all edges of the exact one, with the exact distances."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from tests.unit.cluster import synthetic_faces
from triptych_cluster.clustering import Cancelled, Faces, Progress, cluster_faces
from triptych_cluster.neighbours import approximate
from triptych_cluster.neighbours.exact import nearest_neighbours
from triptych_cluster.neighbours.graph import ArrangedGraph, arranged_graph, graph_steps
from triptych_cluster.parameters import Parameters, parameters_for
from triptych_cluster.workspace import IN_MEMORY

ARCFACE = parameters_for("arcface-r50")
DLIB = parameters_for("dlib-resnet-v1")


def people(parameters: Parameters, count: int = 3000) -> np.ndarray:
    """Faces of both models' geometry: directions, and short steps from one common face."""
    embeddings: np.ndarray = synthetic_faces.generate(count, 31)[0]
    if parameters is DLIB:
        random = np.random.default_rng(0)
        basis = np.linalg.qr(random.standard_normal((512, 128)))[0].astype(np.float32)
        embeddings = 1.3 * basis[0] + embeddings @ basis
    return embeddings


def graph_of(embeddings: np.ndarray, photo_ids: np.ndarray, parameters: Parameters, *, seed: int = 0) -> ArrangedGraph:
    return arranged_graph(
        embeddings,
        photo_ids,
        np.ones(len(embeddings), np.float32),
        parameters,
        search="approximate",
        seed=seed,
        workspace=IN_MEMORY,
        on_step=lambda done: None,
    )


@pytest.mark.parametrize("parameters", [ARCFACE, DLIB])
def test_nearly_all_edges_are_found_and_measured_exactly(parameters: Parameters) -> None:
    embeddings = people(parameters)
    photo_ids = np.arange(len(embeddings)) // 2
    found = graph_of(embeddings, photo_ids, parameters)
    exact = nearest_neighbours(
        found.embeddings,
        photo_ids[found.order],
        metric=parameters.metric,
        neighbour_count=parameters.neighbour_count,
        ceiling=parameters.ceiling,
        on_block=lambda done: None,
    )
    wanted = {(i, j) for i, row in enumerate(exact.neighbours.tolist()) for j in row if j >= 0}
    have = {(i, j) for i, row in enumerate(found.graph.neighbours.tolist()) for j in row if j >= 0}
    assert len(wanted) > 10_000
    # Either end may know of an edge.
    assert len(wanted & (have | {(j, i) for i, j in have})) > 0.9 * len(wanted)
    rows, slots = np.nonzero(found.graph.neighbours >= 0)
    others = found.graph.neighbours[rows, slots]
    away = found.embeddings[rows] - found.embeddings[others]
    closeness = -parameters.metric.half_squares(away)
    distances = found.graph.distances[rows, slots]
    np.testing.assert_allclose(distances, parameters.metric.distance(closeness), atol=2e-5)
    assert (distances <= parameters.ceiling + 1e-5).all()
    assert (photo_ids[found.order][rows] != photo_ids[found.order][others]).all()
    assert (np.diff(np.nan_to_num(found.graph.distances, posinf=9), axis=1) >= 0).all()


def test_the_same_faces_and_seed_make_the_same_graph_in_any_order() -> None:
    embeddings = people(ARCFACE, 2000)
    shuffle = np.random.default_rng(1).permutation(2000)
    first = graph_of(embeddings, np.arange(2000), ARCFACE)
    again = graph_of(embeddings[shuffle], shuffle, ARCFACE)
    assert (first.order == shuffle[again.order]).all()
    assert (first.graph.neighbours == again.graph.neighbours).all()
    np.testing.assert_array_equal(first.graph.distances, again.graph.distances)


@pytest.mark.parametrize("seed", [0, 1])
def test_groups_of_shuffled_faces_agree(seed: int) -> None:
    embeddings, _ = synthetic_faces.generate(4000, 33)
    shuffle = np.random.default_rng(seed).permutation(4000)
    ones = np.ones(4000, np.float32)
    found = cluster_faces(
        Faces(embeddings=embeddings, photo_ids=np.arange(4000), scores=ones), ARCFACE, search="approximate", seed=seed
    )
    again = cluster_faces(
        Faces(embeddings=embeddings[shuffle], photo_ids=shuffle, scores=ones), ARCFACE, search="approximate", seed=seed
    )
    # Each face outside is a group of its own to this measure.
    names = [np.where(labels < 0, 10_000 + np.arange(4000), labels) for labels in (found.labels[shuffle], again.labels)]
    assert adjusted_rand_score(*names) >= 0.995


@pytest.mark.parametrize(
    ("spread", "dimension", "groups"),
    [(0.0, 16, 1), (0.03, 3, 3), (50.0, 256, 0)],
    ids=["alike", "few numbers", "apart"],
)
def test_degenerate_libraries_are_searched(spread: float, dimension: int, groups: int) -> None:
    centres = np.eye(dimension)[np.arange(1500) % max(groups, 1)]
    rows = centres + spread * np.random.default_rng(5).standard_normal((1500, dimension))
    library = Faces(embeddings=rows.astype(np.float32), photo_ids=np.arange(1500), scores=np.ones(1500, np.float32))
    found = cluster_faces(library, ARCFACE, search="approximate")
    assert len(found.cohesions) == groups


def test_progress_is_counted_whole_and_small_libraries_are_searched_exactly() -> None:
    embeddings, _ = synthetic_faces.generate(2000, 34)
    events: list[Progress] = []
    library = Faces(embeddings=embeddings, photo_ids=np.arange(2000), scores=np.ones(2000, np.float32))
    cluster_faces(library, ARCFACE, search="approximate", on_progress=events.append)
    done = [event.done for event in events if event.stage == "neighbours"]
    assert done == sorted(done)
    assert set(done) == set(range(graph_steps(2000, "approximate") + 1))
    assert len(events) >= 20
    assert graph_steps(approximate.LEAST_FACES - 1, "approximate") == graph_steps(approximate.LEAST_FACES - 1, "exact")


@pytest.mark.parametrize("step", range(approximate.PREPARATION_STEPS + 2))
def test_an_approximate_search_stops_at_every_step(step: int) -> None:
    embeddings, _ = synthetic_faces.generate(1200, 35)
    library = Faces(embeddings=embeddings, photo_ids=np.arange(1200), scores=np.ones(1200, np.float32))
    events: list[Progress] = []
    with pytest.raises(Cancelled):
        cluster_faces(
            library,
            ARCFACE,
            search="approximate",
            on_progress=events.append,
            is_cancelled=lambda: bool(events) and events[-1].done == step,
        )
    assert events[-1].done == step
