"""Micro-batches: one outcome for each photo, culprits found, turns taken, queues bounded, cancellation obeyed."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from structlog.testing import capture_logs

from triptych_common.errors import AwayError, OverloadedError
from triptych_common.media import (
    ImageFailure,
    ImageLoader,
    ImageReference,
    LoadedImage,
    MediaRoots,
    Resolution,
    decode_image,
)
from triptych_common.models.description import DeviceMemoryError
from triptych_common.models.lifetime import ModelLifetime
from triptych_common.photos.batches import BatchLimits, PhotoBatches, PhotoOutcome

Images = Sequence[NDArray[np.uint8]]
Compute = Callable[[Images], Sequence[int]]
_WAIT_SECONDS = 30


class _Model:
    """Nothing: what is computed is each test's own function."""

    def close(self) -> None:
        pass


Batches = PhotoBatches[_Model, int]
Make = Callable[..., Batches]


def _photo(red: int) -> bytes:
    """A PPM of one pixel, told apart by its red."""
    return b"P6 1 1 255\n" + bytes([red, 0, 0])


def _references(reds: Sequence[int]) -> list[ImageReference]:
    return [ImageReference(item_id=1000 + red, content=_photo(red)) for red in reds]


def _reds(images: Images) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


def _loader() -> ImageLoader:
    return ImageLoader(
        roots=MediaRoots([]), decode=decode_image, resolution=Resolution(), max_bytes=100_000, max_pixels=100_000
    )


def _build(compute: Compute, *, loader: ImageLoader | None = None, **limits: Any) -> Batches:
    usual = {"micro_batch": 2, "decode_threads": 2, "max_concurrent_requests": 8, "decoded_bytes": 2**20}
    return PhotoBatches(
        model=ModelLifetime(_Model),
        loader=loader or _loader(),
        compute=lambda _, images: compute(images),
        limits=BatchLimits(**(usual | limits)),
    )


@pytest.fixture
async def make(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    # A machine under load must not make micro-batches smaller than the tests expect.
    monkeypatch.setattr("triptych_common.photos.queue.LINGER_SECONDS", float(_WAIT_SECONDS))
    opened: list[Batches] = []

    def build(compute: Compute, **limits: Any) -> Batches:
        opened.append(_build(compute, **limits))
        return opened[-1]

    yield build
    for batches in opened:
        await asyncio.to_thread(batches.close)


async def _all(batches: Batches, references: Sequence[ImageReference]) -> list[PhotoOutcome[int]]:
    async with aclosing(batches.run(references)) as running:
        return [outcome async for outcomes in running for outcome in outcomes]


def _by_item(outcomes: Sequence[PhotoOutcome[int]]) -> dict[int, int | str]:
    """Result, or the failure's code, of each photo; each has one."""
    told: dict[int, int | str] = {
        one.item_id: one.result.code if isinstance(one.result, ImageFailure) else one.result for one in outcomes
    }
    assert len(told) == len(outcomes)
    return told


@dataclass
class _Gate:
    """A model that stands still until it is opened, and remembers what it was given."""

    entered: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    seen: list[list[int]] = field(default_factory=list)

    def compute(self, images: Images) -> list[int]:
        self.entered.set()
        assert self.opened.wait(_WAIT_SECONDS)
        self.seen.append(_reds(images))
        return _reds(images)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - counts of a queue have no event to wait for
            await asyncio.sleep(0.001)


async def test_each_photo_gets_exactly_one_outcome_in_full_micro_batches(make: Make) -> None:
    sizes: list[int] = []

    def compute(images: Images) -> list[int]:
        sizes.append(len(images))
        return _reds(images)

    outcomes = await _all(make(compute, micro_batch=3), _references(range(8)))
    assert _by_item(outcomes) == {1000 + red: red for red in range(8)}
    assert all(outcome.facts is not None and outcome.seconds > 0 for outcome in outcomes)
    assert sizes == [3, 3, 2]


async def test_a_photo_that_cannot_be_decoded_costs_only_itself(make: Make) -> None:
    references = [ImageReference(item_id=1, content=b""), *_references([7]), ImageReference(item_id=2, content=b"text")]
    outcomes = await _all(make(_reds, micro_batch=3), references)
    assert _by_item(outcomes) == {1: "empty_file", 1007: 7, 2: "unsupported_format"}
    assert [one.item_id for one in outcomes if one.facts is not None] == [1007]


class _PartlyAway(ImageLoader):
    """Some photos lie in a place that is away."""

    def __init__(self, away: Collection[int]) -> None:
        super().__init__(
            roots=MediaRoots([]), decode=decode_image, resolution=Resolution(), max_bytes=100_000, max_pixels=100_000
        )
        self._away = away

    def load(self, reference: ImageReference) -> LoadedImage:
        if reference.item_id not in self._away:
            return super().load(reference)
        return LoadedImage(item_id=reference.item_id, image=AwayError("away", reason="STORE_AWAY"), seconds=0.1)


@pytest.mark.parametrize("away", [[1001], [1003, 1004, 1005], range(1000, 1006)])
async def test_photos_whose_place_is_away_have_no_outcome_and_all_others_have(
    make: Make, away: Collection[int]
) -> None:
    batches = make(_reds, micro_batch=2, loader=_PartlyAway(away))
    outcomes: list[PhotoOutcome[int]] = []
    with pytest.raises(AwayError) as caught:
        async with aclosing(batches.run(_references(range(6)))) as running:
            async for some in running:
                assert some
                outcomes += some
    assert caught.value.reason == "STORE_AWAY"
    assert _by_item(outcomes) == {1000 + red: red for red in range(6) if 1000 + red not in away}
    # Nothing of the request is left, and others are served.
    assert (batches.requests, batches.queue.undecoded, batches.queue.held_bytes) == (0, 0, 0)
    if 1000 not in away:
        assert _by_item(await _all(batches, _references([0]))) == {1000: 0}


async def test_a_micro_batch_without_a_readable_photo_never_reaches_the_model(make: Make) -> None:
    def compute(images: Images) -> list[int]:
        raise AssertionError("called")

    outcomes = await _all(make(compute), [ImageReference(item_id=1, content=b"text")])
    assert _by_item(outcomes) == {1: "unsupported_format"}


async def test_the_photo_on_which_the_model_fails_is_found_and_the_others_keep_their_results(make: Make) -> None:
    def compute(images: Images) -> list[int]:
        if 2 in _reds(images):
            raise RuntimeError("no such picture")
        return _reds(images)

    outcomes = await _all(make(compute, micro_batch=4), _references([0, 1, 2, 3]))
    assert _by_item(outcomes) == {1000: 0, 1001: 1, 1002: "model_failed", 1003: 3}
    (culprit,) = [one for one in outcomes if isinstance(one.result, ImageFailure)]
    assert isinstance(culprit.result, ImageFailure)
    assert not culprit.result.permanent
    assert culprit.facts is not None


async def test_a_model_that_gives_too_few_results_fails_the_photos_instead_of_mixing_them_up(make: Make) -> None:
    outcomes = await _all(make(lambda images: _reds(images)[1:]), _references([4, 5]))
    assert _by_item(outcomes) == {1004: "model_failed", 1005: "model_failed"}


async def test_a_device_out_of_memory_gets_half_as_many_photos_and_later_more_again(make: Make) -> None:
    sizes: list[int] = []
    most = 2

    def compute(images: Images) -> list[int]:
        sizes.append(len(images))
        if len(images) > most:
            raise DeviceMemoryError("out of memory")
        return _reds(images)

    batches = make(compute, micro_batch=8)
    assert _by_item(await _all(batches, _references(range(40)))) == {1000 + red: red for red in range(40)}
    assert sizes[:3] == [8, 4, 2]
    assert (max(sizes[3:]), batches.size.now) == (2, 2)
    most = 8
    for _ in range(8):
        await _all(batches, _references(range(40)))
    assert (batches.size.now, max(sizes[3:])) == (8, 8)


async def test_a_photo_for_which_the_device_is_too_small_fails_alone(make: Make) -> None:
    def compute(images: Images) -> list[int]:
        if 3 in _reds(images):
            raise DeviceMemoryError("out of memory")
        return _reds(images)

    outcomes = await _all(make(compute, micro_batch=4), _references(range(8)))
    assert _by_item(outcomes) == {1000 + red: red for red in range(8)} | {1003: "model_failed"}


async def test_one_photo_does_not_wait_for_a_huge_request(make: Make) -> None:
    gate = _Gate()
    batches = make(gate.compute, micro_batch=2)
    huge = asyncio.create_task(_all(batches, _references(range(200))))
    await asyncio.to_thread(gate.entered.wait)
    single = asyncio.create_task(_all(batches, _references([250])))
    await _until(lambda: batches.requests == 2)
    gate.opened.set()
    await single
    assert sum(map(len, gate.seen)) < 100
    await huge


async def test_requests_that_do_not_fill_a_micro_batch_share_one(make: Make) -> None:
    gate = _Gate()
    batches = make(gate.compute, micro_batch=4)
    blocking = asyncio.create_task(_all(batches, _references([0])))
    await asyncio.to_thread(gate.entered.wait)
    small = [asyncio.create_task(_all(batches, _references([red]))) for red in (1, 2, 3)]
    await _until(lambda: batches.queue.decoded == 3)
    gate.opened.set()
    assert [_by_item(outcomes) for outcomes in await asyncio.gather(*small)] == [{1001: 1}, {1002: 2}, {1003: 3}]
    await blocking
    assert [sorted(batch) for batch in gate.seen] == [[0], [1, 2, 3]]


async def test_a_request_beyond_the_limit_is_told_when_to_come_again(make: Make) -> None:
    batches = make(_reds, micro_batch=1, max_concurrent_requests=1)
    async with aclosing(batches.run(_references([1, 2, 3]))) as running:
        await anext(running)
        with pytest.raises(OverloadedError) as caught:
            await _all(batches, _references([9]))
        assert caught.value.reason == "QUEUE_FULL"
        assert caught.value.retry_after_seconds is not None
        assert 0.5 <= caught.value.retry_after_seconds <= 30
    assert _by_item(await _all(batches, _references([9]))) == {1009: 9}
    assert batches.refused["QUEUE_FULL"] == 1


async def test_a_request_beyond_the_memory_ceiling_is_told_when_to_come_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = 1000
    monkeypatch.setattr("triptych_common.process_memory.resident_bytes", lambda: resident)
    batches = make(_reds, memory_ceiling_bytes=2000)
    assert _by_item(await _all(batches, _references([9]))) == {1009: 9}
    resident = 2001
    with pytest.raises(OverloadedError) as caught:
        await _all(batches, _references([9]))
    assert (caught.value.reason, batches.refused["MEMORY_CEILING"]) == ("MEMORY_CEILING", 1)
    assert caught.value.retry_after_seconds is not None
    resident = 1000
    assert _by_item(await _all(batches, _references([9]))) == {1009: 9}


async def test_a_cancelled_request_stops_between_micro_batches_and_frees_its_place(make: Make) -> None:
    gate = _Gate()
    batches = make(gate.compute, micro_batch=2, max_concurrent_requests=1)
    task = asyncio.create_task(_all(batches, _references(range(10))))
    await asyncio.to_thread(gate.entered.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.opened.set()
    assert _by_item(await _all(batches, _references([99]))) == {1099: 99}
    assert [len(batch) for batch in gate.seen] == [2, 1]


async def test_photos_are_decoded_while_a_micro_batch_is_in_the_model(make: Make) -> None:
    gate = _Gate()
    batches = make(gate.compute, micro_batch=1, max_concurrent_requests=1)
    task = asyncio.create_task(_all(batches, _references(range(20))))
    await asyncio.to_thread(gate.entered.wait)
    await _until(lambda: batches.queue.decoded == 4)
    assert batches.queue.held_bytes == 5 * 3
    gate.opened.set()
    await task
    assert batches.queue.held_bytes == 0


async def test_decoded_pixels_stay_within_their_bytes(make: Make) -> None:
    most = 0

    def compute(images: Images) -> list[int]:
        nonlocal most
        most = max(most, batches.queue.held_bytes)
        return _reds(images)

    # Room for three pictures of one pixel, of a micro-batch of eight.
    batches = make(compute, micro_batch=8, decoded_bytes=9)
    await _all(batches, _references([0]))
    assert _by_item(await _all(batches, _references(range(30)))) == {1000 + red: red for red in range(30)}
    assert 3 <= most <= 9


async def test_a_reader_that_does_not_read_holds_up_only_itself(make: Make) -> None:
    batches = make(_reds, micro_batch=2)
    async with aclosing(batches.run(_references(range(200)))) as slow:
        await anext(slow)
        assert _by_item(await _all(batches, _references(range(200, 240)))) == {
            1000 + red: red for red in range(200, 240)
        }
        assert batches.queue.undecoded > 150


async def test_a_function_between_micro_batches_runs_on_the_models_thread(make: Make) -> None:
    names: list[str] = []

    def compute(images: Images) -> list[int]:
        names.append(threading.current_thread().name)
        return _reds(images)

    batches = make(compute)
    await _all(batches, _references([1]))
    assert await batches.run_between(lambda _: threading.current_thread().name) == names[0]

    def fail(_: _Model) -> None:
        raise ValueError("no text")

    with pytest.raises(ValueError, match="no text"):
        await batches.run_between(fail)


async def test_functions_beyond_the_limit_are_told_when_to_come_again(make: Make) -> None:
    gate = _Gate()
    batches = make(gate.compute, max_concurrent_requests=1)
    photos = asyncio.create_task(_all(batches, _references([1])))
    await asyncio.to_thread(gate.entered.wait)
    waiting = asyncio.create_task(batches.run_between(lambda _: "text"))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await batches.run_between(lambda _: "another")
    gate.opened.set()
    assert await waiting == "text"
    await photos


async def test_how_busy_the_device_is_and_with_how_much_is_counted(make: Make) -> None:
    gate = _Gate()
    batches = make(gate.compute, micro_batch=2)
    task = asyncio.create_task(_all(batches, _references(range(3))))
    await asyncio.to_thread(gate.entered.wait)
    before = batches.clock.busy_seconds
    await _until(lambda: batches.clock.busy_seconds > before)
    gate.opened.set()
    await task
    assert batches.clock.sizes == {2: 1, 1: 1}


@dataclass(frozen=True)
class _Asked:
    """A request of a generated case."""

    photos: int
    leaves_after: int | None
    """Messages after which it is cancelled."""


@dataclass(frozen=True)
class _Case:
    """Requests that come at once, and what goes wrong with them."""

    asked: list[_Asked]
    micro_batch: int
    lanes: int
    decode_threads: int
    decoded_bytes: int
    undecodable: set[int]
    fatal: set[int]
    """Photos on which the model fails."""
    most_that_fit: list[int]
    """Photos for which the device has memory, call by call."""

    def reference(self, red: int) -> ImageReference:
        return ImageReference(item_id=red, content=b"text" if red in self.undecodable else _photo(red))

    def expected(self, red: int) -> int | str:
        return "unsupported_format" if red in self.undecodable else "model_failed" if red in self.fatal else red

    def model(self) -> Compute:
        calls = 0

        def compute(images: Images) -> list[int]:
            nonlocal calls
            calls += 1
            assert len(images) <= self.micro_batch
            if len(images) > self.most_that_fit[calls % len(self.most_that_fit)]:
                raise DeviceMemoryError("out of memory")
            if self.fatal & set(_reds(images)):
                raise RuntimeError("failed")
            return _reds(images)

        return compute

    async def ask(self, batches: Batches, one: _Asked, first: int) -> None:
        reds = range(first, first + one.photos)
        outcomes: list[PhotoOutcome[int]] = []
        messages = 0
        async with aclosing(batches.run([self.reference(red) for red in reds])) as running:
            if one.leaves_after == 0:
                return
            async for some in running:
                assert some
                outcomes += some
                messages += 1
                if messages == one.leaves_after:
                    break
        told = _by_item(outcomes)
        assert told == {red: self.expected(red) for red in told}
        if one.leaves_after is None:
            assert told.keys() == set(reds)


_PLACES = 30
"""Photos that a request may have; so their reds are told apart."""
_CASES = st.builds(
    _Case,
    asked=st.lists(st.builds(_Asked, st.integers(1, _PLACES), st.none() | st.integers(0, 3)), min_size=1, max_size=6),
    micro_batch=st.integers(1, 9),
    lanes=st.integers(1, 3),
    decode_threads=st.integers(1, 3),
    decoded_bytes=st.integers(1, 100),
    undecodable=st.sets(st.integers(0, 6 * _PLACES - 1)),
    fatal=st.sets(st.integers(0, 6 * _PLACES - 1)),
    most_that_fit=st.lists(st.integers(1, 9), min_size=1, max_size=20),
)


@settings(max_examples=60, deadline=None)
@given(case=_CASES)
async def test_each_photo_has_exactly_one_outcome_whatever_fails_is_cancelled_or_does_not_fit(case: _Case) -> None:
    batches = _build(
        case.model(),
        micro_batch=case.micro_batch,
        lanes=case.lanes,
        decode_threads=case.decode_threads,
        decoded_bytes=case.decoded_bytes,
    )
    with capture_logs():  # a console takes long to show so many failures
        async with asyncio.timeout(_WAIT_SECONDS), asyncio.TaskGroup() as tasks:
            for number, one in enumerate(case.asked):
                tasks.create_task(case.ask(batches, one, _PLACES * number))
        queue = batches.queue
        await _until(lambda: queue.decoding == 0 and queue.held_bytes == 0)
    assert (queue.undecoded, queue.decoded, batches.requests) == (0, 0, 0)
    await asyncio.to_thread(batches.close)
