"""A face that is to a good part another person's is nobody's; look-alikes, poor faces and pieces of a person stay."""

import numpy as np
import pytest

from triptych_cluster.groups.mixed_faces import mixed_faces
from triptych_cluster.parameters import Metric, Parameters, parameters_for
from triptych_cluster.sums import group_sums

ARCFACE = parameters_for("arcface-r50")
DLIB = parameters_for("dlib-resnet-v1")
DIMENSION = 128


def mixed(labels: np.ndarray, embeddings: np.ndarray, parameters: Parameters) -> list[int]:
    """The faces that are found."""
    rows = parameters.metric.normalised(embeddings.astype(np.float32))
    sums, counts = group_sums(labels, rows)
    found: list[int] = mixed_faces(labels, rows, sums, counts, parameters, on_share=lambda share: None).tolist()
    return found


def people(count: int, *, alike: float, parameters: Parameters) -> np.ndarray:
    """Centres [count, d]: strangers, but that the second has this cosine or nearness 0..1 to the first."""
    axes: np.ndarray = np.eye(count, DIMENSION)
    if parameters.metric is Metric.COSINE:
        axes[1] = alike * axes[0] + np.sqrt(1 - alike**2) * axes[1]
        return axes
    centres: np.ndarray = 1.3 * np.eye(1, DIMENSION, DIMENSION - 1) + axes * parameters.stranger_distance / np.sqrt(2)
    centres[1] = alike * centres[0] + (1 - alike) * centres[1]
    return centres


def faces_of(centre: np.ndarray, count: int, parameters: Parameters, *, seed: int = 0) -> np.ndarray:
    """Faces [count, d] about as far from the centre as a model's usually are."""
    noise = np.random.default_rng(seed).standard_normal((count, DIMENSION)) / np.sqrt(DIMENSION)
    faces: np.ndarray = centre + noise * (0.8 if parameters.metric is Metric.COSINE else 0.12)
    return faces


@pytest.mark.parametrize("parameters", [ARCFACE, DLIB])
@pytest.mark.parametrize("size", [2, 30])
@pytest.mark.parametrize("other_size", [2, 30])
def test_a_face_between_two_strangers_belongs_to_neither(parameters: Parameters, size: int, other_size: int) -> None:
    first, _, third = people(3, alike=0, parameters=parameters)
    own, other = faces_of(first, size, parameters), faces_of(third, other_size, parameters, seed=1)
    between = faces_of((first + third) / 2, 1, parameters, seed=2)
    labels = np.repeat([0, 1, 0], [size, other_size, 1])
    assert mixed(labels, np.concatenate([own, other, between]), parameters) == [size + other_size]


@pytest.mark.parametrize("parameters", [ARCFACE, DLIB])
@pytest.mark.parametrize("alike", [0.0, 0.4])
def test_faces_of_strangers_and_of_siblings_are_their_own(parameters: Parameters, alike: float) -> None:
    centres = people(6, alike=alike, parameters=parameters)
    rows = [faces_of(centre, 40, parameters, seed=seed) for seed, centre in enumerate(centres)]
    assert mixed(np.repeat(np.arange(6), 40), np.concatenate(rows), parameters) == []


def test_a_poor_face_is_less_of_its_person_but_not_more_of_another() -> None:
    first, second = people(2, alike=0.6, parameters=ARCFACE)
    own, other = faces_of(first, 20, ARCFACE), faces_of(second, 20, ARCFACE, seed=1)
    poor = 0.55 * first + np.sqrt(1 - 0.55**2) * np.eye(1, DIMENSION, 100)
    assert mixed(np.repeat([0, 1, 0], [20, 20, 1]), np.concatenate([own, other, poor]), ARCFACE) == []


def test_groups_that_agree_but_may_not_merge_are_not_others() -> None:
    """Twins in common photos, and faces that resemble both of them."""
    first, second = people(2, alike=0.9, parameters=ARCFACE)
    own, other = faces_of(first, 20, ARCFACE), faces_of(second, 20, ARCFACE, seed=1)
    between = 0.55 * first + 0.45 * second + 0.8 * np.eye(1, DIMENSION, 100)
    assert mixed(np.repeat([0, 1, 0], [20, 20, 1]), np.concatenate([own, other, between]), ARCFACE) == []


def test_no_groups_and_one_group_have_no_mixed_faces() -> None:
    rows = faces_of(np.eye(1, DIMENSION)[0], 5, ARCFACE)
    assert mixed(np.full(5, -1), rows, ARCFACE) == []
    assert mixed(np.zeros(5, np.int64), rows, ARCFACE) == []


@pytest.mark.parametrize("share", [-0.2, 0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("metric", list(Metric))
def test_the_share_of_the_other_is_its_weight_in_the_mixture(metric: Metric, share: float) -> None:
    random = np.random.default_rng(5)
    own, other, aside = metric.normalised(random.standard_normal((3, 40)).astype(np.float32))
    span = np.linalg.qr(np.stack([own, other]).T)[0]
    aside = aside - span @ (span.T @ aside)
    row = (1 - share) * own + share * other + aside
    found = metric.share_of_other(row[None], own[None], other[None])
    assert found[0] == pytest.approx(share, abs=1e-5)


def test_it_tells_how_far_it_is_and_stops_when_its_observer_raises() -> None:
    centres = people(3, alike=0, parameters=ARCFACE)
    rows = np.concatenate([faces_of(centre, 5, ARCFACE) for centre in centres]).astype(np.float32)
    labels = np.repeat([0, 1, 2], 5)
    rows = ARCFACE.metric.normalised(rows)

    def stop(share: float) -> None:
        raise InterruptedError(share)

    with pytest.raises(InterruptedError):
        mixed_faces(labels, rows, *group_sums(labels, rows), ARCFACE, on_share=stop)
