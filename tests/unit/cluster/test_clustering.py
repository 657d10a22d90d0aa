"""Faces become groups that keep every promise: order, ties, photos, progress, cancelling, quality."""

import dataclasses
from collections import defaultdict
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cluster import synthetic_faces
from triptych_cluster.clustering import Cancelled, Faces, Grouping, Progress, Stage, cluster_faces
from triptych_cluster.parameters import Parameters, parameters_for

ARCFACE = parameters_for("arcface-r50")
DLIB = parameters_for("dlib-resnet-v1")


def faces_of(embeddings: np.ndarray, photo_ids: np.ndarray | None = None, scores: np.ndarray | None = None) -> Faces:
    count = len(embeddings)
    return Faces(
        embeddings=embeddings,
        photo_ids=np.arange(count) if photo_ids is None else photo_ids,
        scores=np.ones(count, np.float32) if scores is None else scores,
    )


def partition(labels: np.ndarray, names: np.ndarray) -> set[frozenset[int]]:
    """The groups as sets of the faces' names."""
    groups = defaultdict(set)
    for label, name in zip(labels.tolist(), names.tolist(), strict=True):
        if label >= 0:
            groups[label].add(name)
    return {frozenset(members) for members in groups.values()}


def assert_keeps_its_promises(grouping: Grouping, faces: Faces, parameters: Parameters) -> None:
    labels = grouping.labels
    assert labels.dtype == np.int32
    assert grouping.probabilities.dtype == grouping.cohesions.dtype == np.float32
    assert len(labels) == len(grouping.probabilities) == len(faces.photo_ids)
    sizes = np.bincount(labels[labels >= 0], minlength=len(grouping.cohesions))
    assert len(sizes) == len(grouping.cohesions)
    assert (sizes >= parameters.min_cluster_size).all()
    assert (np.diff(sizes) <= 0).all()
    firsts = [int(np.argmax(labels == label)) for label in range(len(sizes))]
    assert all(firsts[k] < firsts[k + 1] for k in range(len(sizes) - 1) if sizes[k] == sizes[k + 1])
    for values in (grouping.probabilities, grouping.cohesions):
        assert ((values >= 0) & (values <= 1)).all()
    assert (grouping.probabilities[labels < 0] == 0).all()
    for label in range(len(sizes)):
        photos = faces.photo_ids[labels == label]
        assert len(np.unique(photos)) == len(photos)


@st.composite
def small_libraries(draw: st.DrawFn) -> tuple[Faces, Parameters]:
    """A few people, several faces each, some repeated exactly, in fewer photos than faces."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(0, 30))
    parameters = dataclasses.replace(
        draw(st.sampled_from([ARCFACE, DLIB])),
        min_cluster_size=draw(st.integers(2, 4)),
        neighbour_count=draw(st.sampled_from([2, 16])),
    )
    people = random.standard_normal((draw(st.integers(1, 6)), 4))
    noise = random.standard_normal((count, 4)) * draw(st.sampled_from([0.0, 0.05, 0.2, 0.5]))
    embeddings = people[random.integers(0, len(people), count)] + noise
    photo_ids = random.integers(0, draw(st.integers(1, 40)), count)
    scores = random.choice([0.5, 0.75, 1.0], count)
    return faces_of(embeddings, photo_ids, scores), parameters


@settings(deadline=None, max_examples=150)
@given(library=small_libraries())
def test_any_small_library_is_grouped_within_the_promises(library: tuple[Faces, Parameters]) -> None:
    faces, parameters = library
    assert_keeps_its_promises(cluster_faces(faces, parameters), faces, parameters)


@settings(deadline=None, max_examples=100)
@given(library=small_libraries(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_faces_does_not_matter(library: tuple[Faces, Parameters], seed: int) -> None:
    faces, parameters = library
    # Faces alike in everything are one name: they may stand for each other.
    content = np.column_stack([faces.embeddings, faces.photo_ids, faces.scores])
    names = np.unique(content, axis=0, return_inverse=True)[1].reshape(-1) if len(content) else np.arange(0)
    order = np.random.default_rng(seed).permutation(len(names))
    shuffled = faces_of(faces.embeddings[order], faces.photo_ids[order], faces.scores[order])
    found = cluster_faces(faces, parameters)
    again = cluster_faces(shuffled, parameters)
    assert partition(found.labels, names) == partition(again.labels, names[order])


def test_no_faces_make_no_groups() -> None:
    found = cluster_faces(faces_of(np.zeros((0, 128), np.float32)), DLIB)
    assert found.labels.shape == found.probabilities.shape == found.cohesions.shape == (0,)


def test_one_face_is_nobody_yet() -> None:
    found = cluster_faces(faces_of(np.ones((1, 128), np.float32)), ARCFACE)
    assert found.labels.tolist() == [-1]
    assert found.cohesions.shape == (0,)


@pytest.mark.parametrize("parameters", [ARCFACE, DLIB])
@pytest.mark.parametrize("count", [2, 3, 700])
def test_identical_faces_are_one_firm_group(parameters: Parameters, count: int) -> None:
    found = cluster_faces(faces_of(np.ones((count, 16), np.float32)), parameters)
    assert found.labels.tolist() == [0] * count
    assert found.probabilities.tolist() == [1] * count
    assert found.cohesions.tolist() == pytest.approx([1])


def test_identical_faces_of_one_photo_are_different_people() -> None:
    photo_ids = np.arange(200) // 2
    faces = faces_of(np.ones((200, 16), np.float32), photo_ids)
    found = cluster_faces(faces, ARCFACE)
    assert_keeps_its_promises(found, faces, ARCFACE)
    assert np.bincount(found.labels).tolist() == [100, 100]


def test_a_pair_in_one_photo_is_no_group() -> None:
    assert cluster_faces(faces_of(np.ones((2, 4), np.float32), np.array([7, 7])), DLIB).labels.tolist() == [-1, -1]


def test_of_two_equal_faces_in_a_photo_the_better_detected_stays() -> None:
    embeddings = np.ones((21, 4), np.float32)
    photo_ids = np.array([*range(20), 19])
    scores = np.array([1.0] * 19 + [0.4, 0.9], np.float32)
    found = cluster_faces(faces_of(embeddings, photo_ids, scores), DLIB)
    assert np.flatnonzero(found.labels < 0).tolist() == [19]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    embeddings = np.ones((4, 8), np.float32)
    embeddings[2, 3] = bad
    with pytest.raises(ValueError, match=r"1 of 4 faces have .* not finite, the first of them face 2"):
        faces_of(embeddings)
    with pytest.raises(ValueError, match="the first of them face 0"):
        faces_of(np.ones((2, 8), np.float32), scores=np.array([bad, 1]))


@pytest.mark.parametrize(
    ("embeddings", "photo_ids", "scores"),
    [((3,), 3, 3), ((3, 0), 3, 3), ((3, 2), 2, 3), ((3, 2), 3, 4)],
)
def test_shapes_that_disagree_are_refused(embeddings: tuple[int, ...], photo_ids: int, scores: int) -> None:
    with pytest.raises(ValueError, match="shape"):
        Faces(
            embeddings=np.ones(embeddings, np.float32),
            photo_ids=np.arange(photo_ids),
            scores=np.ones(scores, np.float32),
        )


def test_a_face_without_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="Face 1 has an embedding of length 0"):
        cluster_faces(faces_of(np.array([[1.0, 0], [0, 0]])), ARCFACE)


def test_the_length_of_arcface_embeddings_says_nothing() -> None:
    random = np.random.default_rng(5)
    embeddings = np.repeat(random.standard_normal((4, 32)), 5, axis=0) + random.standard_normal((20, 32)) * 0.2
    stretched = embeddings * random.uniform(0.1, 30, (20, 1))
    names = np.arange(20)
    assert partition(cluster_faces(faces_of(embeddings), ARCFACE).labels, names) == partition(
        cluster_faces(faces_of(stretched), ARCFACE).labels, names
    )


def test_cohesion_is_the_mean_cosine_of_a_group_and_falls_with_its_spread() -> None:
    rows = np.array([[1, 0, 0], [0.9, 0.3, 0], [0.9, 0, 0.3], [0, 0, -1], [0, 0.01, -1]], np.float32)
    found = cluster_faces(faces_of(rows), ARCFACE)
    units = rows[:3] / np.linalg.norm(rows[:3], axis=1, keepdims=True)
    cosines = (units @ units.T)[np.triu_indices(3, 1)]
    assert found.labels.tolist() == [0, 0, 0, 1, 1]
    assert found.cohesions[0] == pytest.approx(cosines.mean(), abs=1e-5)
    assert found.cohesions[1] > 0.99


@pytest.mark.parametrize("seed", [21, 22])
def test_people_are_found_among_hard_faces(seed: int) -> None:
    embeddings, identity = synthetic_faces.generate(3000, seed)
    score = synthetic_faces.score(identity, cluster_faces(faces_of(embeddings), ARCFACE).labels)
    assert score["bcubed_f1"] > 0.96
    assert score["pairwise_precision"] > 0.9


def test_bursts_of_a_picture_do_not_break_people_apart() -> None:
    embeddings, identity = synthetic_faces.generate(2000, 23)
    random = np.random.default_rng(0)
    source = np.repeat(random.choice(2000, 200, replace=False), 4)
    copies = embeddings[source] + random.standard_normal((800, 512)) * 0.005
    both = np.concatenate([identity, identity[source]])
    score = synthetic_faces.score(both, cluster_faces(faces_of(np.concatenate([embeddings, copies])), ARCFACE).labels)
    assert score["bcubed_f1"] > 0.95


def test_siblings_who_are_photographed_together_are_two_people() -> None:
    random = np.random.default_rng(24)
    parent = random.standard_normal(64)
    first, second = parent + random.standard_normal((2, 64)) * 0.3
    embeddings = np.concatenate([person + random.standard_normal((15, 64)) * 0.35 for person in (first, second)])
    apart = cluster_faces(faces_of(embeddings), ARCFACE)
    together = cluster_faces(faces_of(embeddings, np.tile(np.arange(15), 2)), ARCFACE)
    names = np.arange(30)
    assert partition(apart.labels, names) == {frozenset(range(30))}
    found = partition(together.labels, names)
    assert len(found) >= 2
    assert all(members <= set(range(15)) or members <= set(range(15, 30)) for members in found)


def test_progress_is_counted_in_order_and_ends_whole() -> None:
    embeddings, _ = synthetic_faces.generate(2100, 25)
    events: list[Progress] = []
    cluster_faces(faces_of(embeddings), ARCFACE, on_progress=events.append)
    assert len(events) >= 20
    stages = list(dict.fromkeys(event.stage for event in events))
    assert stages == ["neighbours", "tree", "merge"]
    for stage in stages:
        of_stage = [event for event in events if event.stage == stage]
        done = [event.done for event in of_stage]
        assert done == sorted(done)
        assert len({event.total for event in of_stage}) == 1
        assert done[0] == 0
        assert done[-1] == of_stage[0].total


@pytest.mark.parametrize("count", [0, 1, 2])
def test_progress_ends_whole_in_the_smallest_libraries(count: int) -> None:
    last: dict[str, Progress] = {}
    cluster_faces(
        faces_of(np.ones((count, 4))), ARCFACE, on_progress=lambda progress: last.update({progress.stage: progress})
    )
    assert set(last) == {"neighbours", "tree", "merge"}
    assert all(progress.done == progress.total for progress in last.values())


@pytest.mark.parametrize("stage", get_args(Stage))
def test_work_stops_as_soon_as_it_is_cancelled(stage: Stage) -> None:
    embeddings, _ = synthetic_faces.generate(600, 26)
    events: list[Progress] = []
    with pytest.raises(Cancelled, match=stage):
        cluster_faces(
            faces_of(embeddings),
            ARCFACE,
            on_progress=events.append,
            is_cancelled=lambda: bool(events) and events[-1].stage == stage,
        )
    assert [event.stage for event in events].count(stage) == 1


def test_input_arrays_are_left_as_they_were() -> None:
    embeddings, _ = synthetic_faces.generate(300, 27)
    copy = embeddings.copy()
    cluster_faces(faces_of(embeddings), ARCFACE)
    np.testing.assert_array_equal(embeddings, copy)
