"""Groups whose centroids agree become one, nearest first, unless they share too many photos."""

import numpy as np
import pytest

from triptych_cluster.groups.merging import merge_agreeing_groups
from triptych_cluster.neighbours.exact import block_pair_count
from triptych_cluster.parameters import parameters_for
from triptych_cluster.sums import group_sums

DLIB = parameters_for("dlib-resnet-v1")


def merged(labels: list[int], positions: list[float], photo_ids: list[int] | None = None) -> list[int]:
    """Labels after merging groups on a line, numbered by first appearance."""
    found = merge_agreeing_groups(
        np.array(labels, np.int64),
        np.array(positions, np.float32)[:, None],
        np.arange(len(labels)) if photo_ids is None else np.array(photo_ids),
        DLIB,
        on_block=lambda done: None,
    ).tolist()
    names = {label: name for name, label in enumerate(dict.fromkeys(label for label in found if label >= 0))}
    return [names.get(label, -1) for label in found]


def test_agreeing_groups_merge_and_strangers_do_not() -> None:
    assert merged([0, 0, 1, 1, 2, 2], [0, 0.1, 0.2, 0.3, 0.9, 1.0]) == [0, 0, 0, 0, 1, 1]


def test_the_nearest_merge_first_and_their_new_centroid_decides() -> None:
    # The middle group goes to its nearer neighbour, whose new centre the third is then too far from.
    assert merged([0, 0, 1, 1, 2, 2], [0, 0, 0.3, 0.3, 0.65, 0.65]) == [0, 0, 0, 0, 1, 1]


def test_a_chain_of_near_groups_is_not_one_person() -> None:
    labels = [group for group in range(20) for _ in range(2)]
    found = merged(labels, [0.35 * group for group in labels])
    assert max(found) > 1


def test_merged_groups_merge_again() -> None:
    labels = [group for group in range(8) for _ in range(2)]
    assert set(merged(labels, [0.01 * group for group in labels])) == {0}


def test_groups_that_share_photos_stay_apart() -> None:
    assert merged([0, 0, 1, 1], [0, 0, 0.1, 0.1], [1, 2, 2, 3]) == [0, 0, 1, 1]


def test_groups_stay_apart_from_what_a_merge_has_brought_together_with_them() -> None:
    positions = [0, 0, 0.05, 0.05, 0.2, 0.2]
    assert merged([0, 0, 1, 1, 2, 2], positions, [1, 2, 3, 4, 3, 4]) == [0, 0, 0, 0, 1, 1]


def test_faces_in_no_group_stay_there() -> None:
    assert merged([-1, 0, 0, -1], [0, 0, 0.1, 0.1]) == [-1, 0, 0, -1]
    assert merged([-1, -1], [0, 0]) == [-1, -1]


def test_blocks_are_counted_and_never_fall() -> None:
    counted: list[int] = []
    labels = np.repeat(np.arange(600), 2)
    rows = (labels[:, None] * 0.3).astype(np.float32)
    merge_agreeing_groups(labels, rows, np.arange(len(labels)), DLIB, on_block=counted.append)
    assert counted == sorted(counted)
    assert set(counted) == set(range(block_pair_count(600)))


def test_group_sums() -> None:
    sums, counts = group_sums(np.array([1, -1, 0, 1]), np.array([[1], [2], [4], [8]], np.float32))
    assert sums.tolist() == [[4], [9]]
    assert counts.tolist() == [1, 2]


def test_the_work_stops_when_its_observer_raises() -> None:
    def stop(done: int) -> None:
        raise InterruptedError(done)

    with pytest.raises(InterruptedError):
        merge_agreeing_groups(np.array([0, 0]), np.zeros((2, 1), np.float32), np.arange(2), DLIB, on_block=stop)
