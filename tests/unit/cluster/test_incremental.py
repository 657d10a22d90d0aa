"""Faces that are added to a grouped library and taken from it: the outcome is that of grouping all of them anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.grouping_score import adjusted_rand_index
from tests.unit.cluster.synthetic_faces import generate
from triptych_cluster.clustering import Cancelled, Faces, Progress, cluster_faces
from triptych_cluster.kept.graph import KeptGraph
from triptych_cluster.kept.incremental import KeptGrouping, cluster_increment, cluster_to_keep, most_searched
from triptych_cluster.kept.state import KeptFaces
from triptych_cluster.neighbours.exact import nearest_neighbours
from triptych_cluster.neighbours.graph import Search
from triptych_cluster.parameters import Parameters, parameters_for

ARCFACE = parameters_for("arcface-r50")
SIZE = 600


@pytest.fixture(scope="module")
def library() -> Faces:
    """Faces of people and strangers, some of them several in a photo, some hardly detected."""
    embeddings, _ = generate(SIZE, 11)
    random = np.random.default_rng(5)
    return Faces(
        embeddings=embeddings,
        photo_ids=random.integers(0, SIZE * 3 // 4, SIZE),
        scores=random.uniform(0.3, 1.0, SIZE).astype(np.float32),
    )


def part(faces: Faces, ids: NDArray[np.int64]) -> Faces:
    return Faces(embeddings=faces.embeddings[ids], photo_ids=faces.photo_ids[ids], scores=faces.scores[ids])


def increment(faces: Faces, ids: NDArray[np.int64], kept: KeptFaces | None = None) -> KeptGrouping:
    """Group these faces of the library, their places in it being their ids."""
    known = KeptFaces.nothing(ids, neighbour_count=ARCFACE.neighbour_count) if kept is None else kept.of(ids)
    return cluster_increment(part(faces, ids), known, ARCFACE)


def partition(labels: NDArray[np.int32], ids: NDArray[np.int64]) -> set[frozenset[int]]:
    return {frozenset(ids[labels == label].tolist()) for label in range(int(labels.max(initial=-1)) + 1)}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, SIZE - 2), st.integers(0, 60), st.integers(1, 3))
def test_adding_and_removing_faces_gives_what_a_run_from_scratch_gives(
    library: Faces, seed: int, new: int, gone: int, steps: int
) -> None:
    random = np.random.default_rng(seed)
    ids = random.permutation(SIZE)[: SIZE - new]
    kept = increment(library, ids).kept
    for _ in range(steps):
        absent = np.setdiff1d(np.arange(SIZE), ids)
        ids = random.permutation(ids)[min(gone, len(ids) - 1) :]
        ids = np.concatenate([ids, random.permutation(absent)[: new // steps + 1]])

        found = increment(library, ids, kept)

        scratch = cluster_faces(part(library, ids), ARCFACE, search="exact")
        assert adjusted_rand_index(found.grouping.labels, scratch.labels) >= 0.999
        np.testing.assert_allclose(found.grouping.probabilities, scratch.probabilities, atol=1e-3)
        kept = found.kept


def test_the_graph_is_that_of_comparing_all(library: Faces) -> None:
    ids = np.arange(SIZE)
    kept = increment(library, ids[50:]).kept.of(ids[:-50])

    found = cluster_increment(part(library, ids[:-50]), kept, ARCFACE).kept.faces.graph

    prepared = ARCFACE.metric.normalised(library.embeddings[:-50])
    whole = nearest_neighbours(
        prepared,
        library.photo_ids[:-50],
        metric=ARCFACE.metric,
        neighbour_count=ARCFACE.neighbour_count,
        ceiling=ARCFACE.ceiling,
        on_block=lambda done: None,
    )
    np.testing.assert_allclose(found.distances, whole.distances, atol=1e-5)
    assert [set(row) for row in found.neighbours.tolist()] == [set(row) for row in whole.neighbours.tolist()]


def test_which_groups_are_near_is_as_if_all_were_compared(library: Faces) -> None:
    ids = np.arange(SIZE)
    first = increment(library, ids[:-30])

    found = increment(library, ids, first.kept).kept.near_groups
    anew = increment(library, ids).kept.near_groups

    def edges(kept: KeptGraph) -> set[tuple[int, int]]:
        rows, slots = np.nonzero(kept.graph.neighbours >= 0)
        return set(zip(kept.ids[rows].tolist(), kept.ids[kept.graph.neighbours[rows, slots]].tolist(), strict=True))

    assert edges(found) == edges(anew)
    assert set(found.ids) & set(first.kept.near_groups.ids), "groups that did not change are known"


def test_where_nothing_changed_nothing_is_compared_or_grouped(library: Faces) -> None:
    ids = np.random.default_rng(1).permutation(SIZE)
    first = increment(library, ids)

    again = increment(library, ids[::-1], first.kept)

    assert (again.searched, again.regrouped) == (0, 0)
    assert partition(again.grouping.labels, ids[::-1]) == partition(first.grouping.labels, ids)


def test_only_components_that_changed_are_grouped(library: Faces) -> None:
    ids = np.arange(SIZE)
    first = increment(library, ids[:-1])

    more = increment(library, ids, first.kept)
    fewer = increment(library, ids[:-1], more.kept)

    assert more.searched == 1
    assert more.regrouped < SIZE / 2
    assert partition(fewer.grouping.labels, ids[:-1]) == partition(first.grouping.labels, ids[:-1])


def test_a_face_that_leaves_a_component_in_two_leaves_two_groups() -> None:
    """Two pairs far apart, and a face between them that is near to one of each."""

    def at(degrees: float) -> list[float]:
        return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]

    embeddings = np.array([at(0), at(4), at(50), at(96), at(100)], np.float32)
    faces = Faces(embeddings=embeddings, photo_ids=np.arange(5), scores=np.ones(5, np.float32))
    kept = increment(faces, np.arange(5)).kept

    rest = np.array([0, 1, 3, 4])
    found = increment(faces, rest, kept)

    assert partition(found.grouping.labels, rest) == {frozenset({0, 1}), frozenset({3, 4})}


def test_copies_without_end_are_no_worse_than_others() -> None:
    faces = Faces(embeddings=np.ones((50, 3), np.float32), photo_ids=np.arange(50), scores=np.ones(50, np.float32))
    kept = increment(faces, np.arange(40)).kept

    found = increment(faces, np.arange(50), kept)

    assert set(found.grouping.labels.tolist()) == {0}


def test_no_faces_and_one_face_are_grouped(library: Faces) -> None:
    none = increment(library, np.zeros(0, np.int64))
    one = increment(library, np.array([7]), none.kept)

    assert one.grouping.labels.tolist() == [-1]
    assert increment(library, np.zeros(0, np.int64), one.kept).grouping.labels.tolist() == []


@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_what_a_run_of_all_faces_keeps_changes_nothing_of_what_it_finds(search: Search) -> None:
    embeddings, _ = generate(1500, 4)
    faces = Faces(embeddings=embeddings, photo_ids=np.arange(1500), scores=np.ones(1500, np.float32))
    ids = 1000 + 7 * np.random.default_rng(2).permutation(1500)

    kept = cluster_to_keep(faces, ids, ARCFACE, search=search)

    plain = cluster_faces(faces, ARCFACE, search=search)
    np.testing.assert_array_equal(kept.grouping.labels, plain.labels)
    np.testing.assert_array_equal(kept.grouping.probabilities, plain.probabilities)
    again = cluster_increment(faces, kept.kept, ARCFACE)
    assert (again.searched, again.regrouped) == (0, 0)
    np.testing.assert_array_equal(again.grouping.labels, plain.labels)


@pytest.mark.parametrize("seed", [41, 42])
def test_faces_added_to_an_approximate_graph_give_what_an_approximate_run_from_scratch_gives(seed: int) -> None:
    """As the service does above 10,000 faces; `make bench-cluster-incremental` measures it at 20,000."""
    count, added = 6000, 120
    embeddings, _ = generate(count, seed)
    ids = np.arange(count)
    faces = Faces(embeddings=embeddings, photo_ids=ids, scores=np.ones(count, np.float32))
    former = cluster_to_keep(part(faces, ids[:-added]), ids[:-added], ARCFACE, search="approximate")

    found = cluster_increment(faces, former.kept.of(ids), ARCFACE)

    scratch = cluster_to_keep(faces, ids, ARCFACE, search="approximate")
    assert found.searched == added
    assert adjusted_rand_index(found.grouping.labels, scratch.grouping.labels) >= 0.999
    edges = [_edges(one.kept.faces) for one in (found, scratch)]
    assert len(edges[0] & edges[1]) > 0.99 * len(edges[0] | edges[1])


def _edges(kept: KeptGraph) -> set[tuple[int, int]]:
    """Pairs of ids of which either is a neighbour of the other, the smaller first."""
    rows, slots = np.nonzero(kept.graph.neighbours >= 0)
    ends = np.sort(np.column_stack([kept.ids[rows], kept.ids[kept.graph.neighbours[rows, slots]]]), axis=1)
    return set(map(tuple, ends.tolist()))


def test_few_new_faces_are_worthwhile_and_many_are_not() -> None:
    assert most_searched(0) == 0
    assert most_searched(400) == 100
    # An approximate graph of all is made about as fast whatever the number of new ones.
    assert most_searched(10_000_000) == most_searched(100_000) < 100_000 / 4
    assert most_searched(20_000) >= 400


def test_it_tells_how_far_it_is_and_can_be_cancelled(library: Faces) -> None:
    kept = increment(library, np.arange(500)).kept.of(np.arange(SIZE))
    told: list[Progress] = []

    cluster_increment(library, kept, ARCFACE, on_progress=told.append)

    assert [one.stage for one in told] == sorted([one.stage for one in told], key=["neighbours", "tree", "merge"].index)
    assert {one.stage for one in told if one.done == one.total} == {"neighbours", "tree", "merge"}
    with pytest.raises(Cancelled):
        cluster_increment(library, kept, ARCFACE, is_cancelled=lambda: True)


def test_a_few_new_faces_have_progress_to_show() -> None:
    embeddings, _ = generate(2000, 6)
    ids = np.arange(2000)
    faces = Faces(embeddings=embeddings, photo_ids=ids, scores=np.ones(2000, np.float32))
    kept = cluster_to_keep(part(faces, ids[:-40]), ids[:-40], ARCFACE).kept
    told: list[Progress] = []

    cluster_increment(faces, kept.of(ids), ARCFACE, on_progress=told.append)

    assert len({(one.stage, one.done) for one in told}) >= 20


def test_what_is_known_of_other_faces_or_by_other_parameters_is_refused(library: Faces) -> None:
    other = Parameters(
        metric=ARCFACE.metric,
        same_distance=ARCFACE.same_distance,
        ceiling=ARCFACE.ceiling,
        merge_distance=ARCFACE.merge_distance,
        stranger_distance=ARCFACE.stranger_distance,
        sure_distance=ARCFACE.sure_distance,
        neighbour_count=4,
    )
    known = KeptFaces.nothing(np.arange(SIZE), neighbour_count=ARCFACE.neighbour_count)

    with pytest.raises(ValueError, match="neighbours"):
        cluster_increment(library, known, other)
