"""How many photos at once: halved when they do not fit, and grown back with a patience that grows too."""

from triptych_common.photos.batch_size import BatchSize


def _successes_to_grow(size: BatchSize) -> int:
    """How often the present size must go through before more are tried."""
    now, successes = size.now, 0
    while size.now == now:
        size.fitted(now)
        successes += 1
    return successes


def test_what_does_not_fit_is_halved_down_to_one() -> None:
    size = BatchSize(9)
    assert [size.did_not_fit(size.now) for _ in range(5)] == [4, 2, 1, 1, 1]
    assert size.halvings == 5


def test_a_smaller_micro_batch_that_did_not_fit_counts_for_itself() -> None:
    size = BatchSize(64)
    assert size.did_not_fit(10) == 5


def test_it_grows_back_to_where_it_was_and_not_beyond() -> None:
    size = BatchSize(9)
    for _ in range(4):
        size.did_not_fit(size.now)
    while size.now < 9:
        _successes_to_grow(size)
    size.fitted(9)
    assert size.now == 9


def test_micro_batches_that_are_not_full_say_nothing() -> None:
    size = BatchSize(8)
    size.did_not_fit(8)
    for _ in range(10_000):
        size.fitted(3)
    assert size.now == 4


def test_a_size_that_never_fits_is_tried_ever_more_seldom() -> None:
    size = BatchSize(8)
    patience = []
    for _ in range(10):
        size.did_not_fit(8)
        patience.append(_successes_to_grow(size))
    assert patience[:4] == [16, 32, 64, 128]
    assert patience[-1] == 1024
