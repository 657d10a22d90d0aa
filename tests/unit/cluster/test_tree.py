"""Density groups keep to the components of the graph, find a lone person, and are not fooled by bursts."""

import dataclasses

import numpy as np

from triptych_cluster.groups.grouping import group_components
from triptych_cluster.groups.tree import TREE_STEPS, DensityGroups, density_groups
from triptych_cluster.neighbours.components import component_batches, component_labels
from triptych_cluster.neighbours.exact import nearest_neighbours
from triptych_cluster.parameters import Parameters, parameters_for

DLIB = parameters_for("dlib-resnet-v1")


def groups_of(rows: np.ndarray, parameters: Parameters = DLIB) -> DensityGroups:
    graph = nearest_neighbours(
        rows.astype(np.float32),
        np.arange(len(rows)),
        metric=parameters.metric,
        neighbour_count=parameters.neighbour_count,
        ceiling=parameters.ceiling,
        on_block=lambda done: None,
    )
    batches = component_batches(component_labels(graph), least_faces=parameters.min_cluster_size)
    return group_components(graph, batches, np.arange(len(rows)), parameters, on_faces=lambda done: None)


def test_groups_never_reach_across_the_ceiling() -> None:
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(12), 5)
    rows = random.standard_normal((12, 8))[truth] * 5 + random.standard_normal((60, 8)) * 0.03
    found = groups_of(rows)
    assert len(set(found.labels)) == 12
    assert len(set(zip(truth.tolist(), found.labels.tolist(), strict=True))) == 12


def test_a_library_of_one_person_is_one_group() -> None:
    rows = np.random.default_rng(1).standard_normal((30, 8)) * 0.05
    labels = groups_of(rows).labels
    assert labels[0] >= 0
    assert set(labels) == {labels[0]}


def test_faces_without_neighbours_are_in_no_group() -> None:
    rows = np.concatenate([np.arange(5)[:, None] * 2.0, [[8.1]]])
    found = groups_of(rows)
    assert found.labels[:4].tolist() == [-1] * 4
    assert found.labels[4] == found.labels[5] >= 0
    assert found.probabilities[:4].tolist() == [0, 0, 0, 0]
    assert (found.probabilities[4:] > 0).all()


def test_only_faces_without_neighbours_make_no_groups() -> None:
    assert groups_of(np.arange(4)[:, None] * 2.0).labels.tolist() == [-1] * 4


def test_a_burst_does_not_split_from_its_person() -> None:
    random = np.random.default_rng(2)
    person = random.standard_normal((20, 16)) * 0.06
    burst = person[:1] + random.standard_normal((6, 16)) * 0.0005
    assert len(set(groups_of(np.concatenate([person, burst])).labels)) == 1


def test_dense_groups_joined_by_a_bridge_are_parted() -> None:
    left = np.random.default_rng(3).uniform(0, 0.1, (12, 2))
    bridge = np.array([[0.50, 0.05], [0.94, 0.05]])
    found = groups_of(np.concatenate([left, left + np.array([1.38, 0]), bridge]))
    assert len(set(found.labels[:12])) == len(set(found.labels[12:24])) == 1
    assert found.labels[0] != found.labels[12]


def test_components_too_small_for_a_group_do_not_make_one_together() -> None:
    rows = np.concatenate([np.repeat(np.arange(6) * 2.0, 2), [20, 20.1, 20.2, 20.3]])[:, None]
    labels = groups_of(rows, dataclasses.replace(DLIB, min_cluster_size=4)).labels
    assert labels[:12].tolist() == [-1] * 12
    assert labels[12] >= 0
    assert set(labels[12:]) == {labels[12]}


def test_every_step_is_counted() -> None:
    counted: list[int] = []
    graph = nearest_neighbours(
        np.zeros((3, 1), np.float32),
        np.arange(3),
        metric=DLIB.metric,
        neighbour_count=2,
        ceiling=DLIB.ceiling,
        on_block=lambda done: None,
    )
    density_groups(graph, DLIB, on_step=counted.append)
    assert counted == sorted(counted)
    assert set(counted) == set(range(TREE_STEPS))
