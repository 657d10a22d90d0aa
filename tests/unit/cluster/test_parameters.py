"""Parameters belong to a model's id, and a model without any is refused."""

import dataclasses

import numpy as np
import pytest

from triptych_cluster.parameters import KNOWN_MODELS, Metric, Parameters, UnknownModelError, parameters_for


@pytest.mark.parametrize(
    "model_id",
    ["arcface-r50", "insightface:buffalo_l", "insightface:w600k_r50@4c06341c33c2", "buffalo_l", "antelopev2"],
)
def test_arcface_models_compare_by_cosine(model_id: str) -> None:
    parameters = parameters_for(model_id)
    assert parameters.metric is Metric.COSINE
    assert 1 - parameters.ceiling >= 0.53
    assert 1 - parameters.merge_distance >= 0.7


def test_dlib_compares_by_euclidean_distance_below_its_false_merges() -> None:
    parameters = parameters_for("dlib-resnet-v1")
    assert parameters.metric is Metric.EUCLIDEAN
    assert parameters.ceiling <= 0.5


@pytest.mark.parametrize("model_id", ["", "facenet", "dlib-resnet-v2", "arcface"])
def test_an_unknown_model_is_refused_with_the_known_ones(model_id: str) -> None:
    with pytest.raises(UnknownModelError) as refusal:
        parameters_for(model_id)
    assert refusal.value.model_id == model_id
    for known in KNOWN_MODELS:
        assert known in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        {"same_distance": 0.0},
        {"same_distance": 0.5},
        {"ceiling": 1.0},
        {"merge_distance": 0.0},
        {"merge_distance": 1.0},
        {"min_samples": 0},
        {"min_samples": 18},
        {"min_cluster_size": 1},
        {"shared_photo_tolerance": 1.0},
        {"shared_photo_tolerance": -0.1},
        {"neighbour_count": 0},
        {"sure_distance": -0.1},
        {"sure_distance": 1.0},
        {"mixed_share": 0.0},
        {"mixed_share": 1.1},
        {"fading_share": 0.0},
        {"fading_least_faces": 1},
    ],
)
def test_contradictory_parameters_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        dataclasses.replace(parameters_for("buffalo_l"), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", list(Metric))
def test_distance_and_closeness_are_each_others_inverse(metric: Metric) -> None:
    distances = np.array([0.0, 0.1, 0.45, 1.0], np.float32)
    closeness = np.array([metric.closeness(float(distance)) for distance in distances], np.float32)
    np.testing.assert_allclose(metric.distance(closeness), distances, rtol=1e-6)


def test_metrics_measure_what_their_names_say() -> None:
    rows = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    for metric in Metric:
        first, second = metric.normalised(rows)
        halves = metric.half_squares(metric.normalised(rows))
        found = metric.distance(np.array([first @ second - halves[0] - halves[1]], np.float32))[0]
        lengths = np.linalg.norm(rows, axis=1)
        cosine = 1 - rows[0] @ rows[1] / (lengths[0] * lengths[1])
        assert found == pytest.approx(
            cosine if metric is Metric.COSINE else np.linalg.norm(rows[0] - rows[1]), rel=1e-5
        )


@pytest.mark.parametrize("metric", Metric)
def test_the_distance_from_the_rest_of_a_group_is_that_from_their_centre(metric: Metric) -> None:
    random = np.random.default_rng(3)
    rows = metric.normalised((1 + 0.2 * random.standard_normal((40, 128))).astype(np.float32))
    groups = np.repeat([0, 1, 2], [2, 8, 30])
    sums = np.stack([rows[groups == group].sum(axis=0) for group in range(3)])
    counts = np.bincount(groups)
    rest = metric.centroids(sums[groups] - rows, counts[groups] - 1)
    found = metric.distances_from_rest(rows, sums[groups], counts[groups])
    assert (found > 0.001).all()
    np.testing.assert_allclose(found, metric.distances_of_pairs(rows, rest), rtol=1e-4)


def test_a_row_without_direction_is_refused_for_cosine_only() -> None:
    rows = np.array([[1, 0], [0, 0]], np.float32)
    with pytest.raises(ValueError, match="Face 1 has an embedding of length 0"):
        Metric.COSINE.check(rows)
    Metric.EUCLIDEAN.check(rows)
    assert Metric.EUCLIDEAN.normalised(rows) is rows


@pytest.mark.parametrize("metric", list(Metric))
def test_a_row_too_long_to_be_squared_is_refused(metric: Metric) -> None:
    with pytest.raises(ValueError, match="Face 0 has an embedding whose length is beyond float32"):
        metric.check(np.full((1, 2), 1e30, np.float32))


def test_the_parameters_of_every_known_model_are_whole() -> None:
    for pattern in KNOWN_MODELS:
        assert isinstance(parameters_for(pattern.replace("*", "any")), Parameters)
