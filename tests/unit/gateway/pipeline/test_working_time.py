"""How long work went on: overlapping pieces count once, and the time between them not at all."""

import pytest

from triptych_gateway.pipeline.photos.working_time import WorkingTime


class _Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_seconds = 1000.0

    def __call__(self) -> float:
        return self.now_seconds


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def working_time(clock: _Clock) -> WorkingTime:
    return WorkingTime(clock=clock)


def test_without_work_no_time_passes(clock: _Clock, working_time: WorkingTime) -> None:
    clock.now_seconds += 60

    assert working_time.seconds == 0


def test_an_outage_between_two_pieces_of_work_does_not_count(clock: _Clock, working_time: WorkingTime) -> None:
    with working_time.working():
        clock.now_seconds += 5
    clock.now_seconds += 3600
    with working_time.working():
        clock.now_seconds += 2

    assert working_time.seconds == 7


def test_pieces_that_overlap_count_once(clock: _Clock, working_time: WorkingTime) -> None:
    first, second = working_time.working(), working_time.working()
    first.__enter__()
    clock.now_seconds += 3
    second.__enter__()
    clock.now_seconds += 4
    first.__exit__(None, None, None)
    clock.now_seconds += 5
    second.__exit__(None, None, None)
    clock.now_seconds += 100

    assert working_time.seconds == 12


def test_work_under_way_counts_up_to_now(clock: _Clock, working_time: WorkingTime) -> None:
    with working_time.working():
        clock.now_seconds += 1.5
        assert working_time.seconds == 1.5
        clock.now_seconds += 1
        assert working_time.seconds == 2.5


def test_a_piece_of_work_that_breaks_off_counts_as_far_as_it_came(clock: _Clock, working_time: WorkingTime) -> None:
    with pytest.raises(ConnectionError), working_time.working():
        clock.now_seconds += 4
        raise ConnectionError

    clock.now_seconds += 9
    assert working_time.seconds == 4
