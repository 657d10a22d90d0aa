"""Parts of one piece of work are all done, whoever does them, and stop when they are told to."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from triptych_cluster.parallel import in_parallel


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_every_part_is_done_and_counted_in_the_callers_thread() -> None:
    squares = np.zeros(100)
    told: list[tuple[int, int]] = []

    def square(part: int) -> None:
        squares[part] = part * part

    in_parallel(square, range(100), on_part=lambda done: told.append((done, threading.get_ident())))
    np.testing.assert_array_equal(squares, np.arange(100) ** 2)
    assert told == [(done, threading.get_ident()) for done in range(100)]


def test_nothing_is_done_of_no_parts() -> None:
    in_parallel(pytest.fail, [])


def test_products_have_one_thread_within_and_as_many_as_before_afterwards() -> None:
    before = blas_threads()
    within: list[set[int]] = []
    in_parallel(lambda part: within.append(blas_threads()), range(3))
    assert within == [{1}] * 3
    assert blas_threads() == before


def test_what_a_part_raises_is_raised() -> None:
    def fail(part: int) -> None:
        raise ArithmeticError(f"part {part}")

    with pytest.raises(ArithmeticError, match="part 0"):
        in_parallel(fail, range(10))


def test_a_caller_stops_it_and_no_part_goes_on_behind_its_back() -> None:
    may_go_on = threading.Event()
    begun: list[int] = []

    def wait(part: int) -> None:
        begun.append(part)
        assert may_go_on.wait(60)

    def stop(done: int) -> None:
        may_go_on.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_parallel(wait, range(10_000), on_part=stop)
    after = len(begun)
    assert after < 10_000
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cluster-part")]
