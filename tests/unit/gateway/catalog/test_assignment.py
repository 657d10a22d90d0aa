"""The assignment of largest total weight, held against trying them all."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.catalog.clustering.assignment import assign

pairs = st.tuples(st.integers(0, 5), st.integers(0, 5))
weights = st.dictionaries(pairs, st.integers(1, 20), max_size=20)


def _best_total(given_weights: dict[tuple[int, int], int]) -> int:
    """The largest sum there is, by trying each way in which rows can choose columns or none."""
    rows = sorted({row for row, _ in given_weights})
    columns = sorted({column for _, column in given_weights})
    slots = [*columns, *[None] * len(rows)]
    return max(
        sum(given_weights.get((row, column), 0) for row, column in zip(rows, chosen, strict=True) if column is not None)
        for chosen in set(itertools.permutations(slots, len(rows)))
    )


@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(1, 9), max_size=16))
def test_no_other_assignment_has_a_larger_sum(given_weights: dict[tuple[int, int], int]) -> None:
    chosen = assign(given_weights)

    assert len(set(chosen.values())) == len(chosen)
    assert sum(given_weights[pair] for pair in chosen.items()) == _best_total(given_weights)


@given(weights, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(
    given_weights: dict[tuple[int, int], int], shuffle: random.Random
) -> None:
    items = list(given_weights.items())
    shuffle.shuffle(items)

    assert assign(dict(items)) == assign(given_weights)


@given(weights)
def test_a_pair_can_stand_only_where_it_has_a_weight_and_none_is_left_that_could(
    given_weights: dict[tuple[int, int], int],
) -> None:
    chosen = assign(given_weights)

    assert set(chosen.items()) <= set(given_weights)
    for row, column in given_weights:
        assert row in chosen or column in chosen.values()


def test_the_largest_pair_gives_way_where_two_others_are_worth_more() -> None:
    assert assign({(0, 0): 10, (0, 1): 9, (1, 0): 9}) == {0: 1, 1: 0}


def test_a_long_chain_is_solved_at_once() -> None:
    chain = {(row, column): 100 for row in range(3000) for column in (row, row + 1)}

    assert len(assign(chain)) == 3000


def test_what_is_no_pair_is_refused() -> None:
    for bad in ({(0, 0): 0}, {(-1, 0): 1}, {(0, -1): 1}):
        with pytest.raises(ValueError, match="above 0"):
            assign(bad)
