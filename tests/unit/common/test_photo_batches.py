"""Micro-batches: one outcome for each photo, culprits found, turns taken, queues bounded, cancellation obeyed."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing

import pytest

from triptych_common.errors import OverloadedError
from triptych_common.media import (
    DecodedImage,
    ImageFailure,
    ImageLoader,
    ImageReference,
    MediaRoots,
    Resolution,
)
from triptych_common.photo_batches import PhotoBatches, PhotoOutcome

Compute = Callable[[Sequence[DecodedImage]], Sequence[int]]
Make = Callable[..., PhotoBatches[int]]


def _photo(red: int) -> bytes:
    """A PPM of one pixel, told apart by its red."""
    return b"P6 1 1 255\n" + bytes([red, 0, 0])


def _references(reds: Sequence[int]) -> list[ImageReference]:
    return [ImageReference(item_id=1000 + red, content=_photo(red)) for red in reds]


def _reds(images: Sequence[DecodedImage]) -> list[int]:
    return [int(image.pixels[0, 0, 0]) for image in images]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    opened: list[PhotoBatches[int]] = []
    loader = ImageLoader(roots=MediaRoots([]), resolution=Resolution(), max_bytes=1000, max_pixels=1000, threads=2)

    def build(compute: Compute, *, micro_batch: int = 2, max_concurrent_requests: int = 8) -> PhotoBatches[int]:
        batches = PhotoBatches(
            loader=loader,
            compute=compute,
            micro_batch=micro_batch,
            max_concurrent_requests=max_concurrent_requests,
        )
        opened.append(batches)
        return batches

    yield build
    loader.close()
    for batches in opened:
        batches.close()


async def _all(batches: PhotoBatches[int], references: Sequence[ImageReference]) -> list[PhotoOutcome[int]]:
    return [outcome async for outcomes in batches.run(references) for outcome in outcomes]


async def test_each_photo_gets_exactly_one_outcome_in_order(make: Make) -> None:
    sizes = []
    async for outcomes in make(_reds, micro_batch=3).run(_references(range(8))):
        sizes.append([outcome.item_id for outcome in outcomes])
        assert [outcome.result for outcome in outcomes] == [outcome.item_id - 1000 for outcome in outcomes]
        assert all(outcome.facts is not None and outcome.seconds > 0 for outcome in outcomes)
    assert sizes == [[1000, 1001, 1002], [1003, 1004, 1005], [1006, 1007]]


async def test_a_photo_that_cannot_be_decoded_costs_only_itself(make: Make) -> None:
    references = [ImageReference(item_id=1, content=b""), *_references([7]), ImageReference(item_id=2, content=b"text")]
    outcomes = await _all(make(_reds, micro_batch=3), references)
    codes = [one.result.code if isinstance(one.result, ImageFailure) else one.result for one in outcomes]
    assert codes == ["empty_file", 7, "unsupported_format"]
    assert outcomes[0].facts is None


async def test_a_micro_batch_without_a_readable_photo_never_reaches_the_model(make: Make) -> None:
    def compute(images: Sequence[DecodedImage]) -> list[int]:
        raise AssertionError("called")

    (outcome,) = await _all(make(compute), [ImageReference(item_id=1, content=b"text")])
    assert isinstance(outcome.result, ImageFailure)
    assert outcome.result.code == "unsupported_format"


async def test_the_photo_on_which_the_model_fails_is_found_and_the_others_keep_their_results(make: Make) -> None:
    def compute(images: Sequence[DecodedImage]) -> list[int]:
        if 2 in _reds(images):
            raise RuntimeError("no such picture")
        return _reds(images)

    outcomes = await _all(make(compute, micro_batch=4), _references([0, 1, 2, 3]))
    culprit = outcomes[2].result
    assert isinstance(culprit, ImageFailure)
    assert (culprit.code, culprit.permanent) == ("model_failed", False)
    assert [outcomes[number].result for number in (0, 1, 3)] == [0, 1, 3]
    assert outcomes[2].facts is not None


async def test_a_model_that_gives_too_few_results_fails_the_photos_instead_of_mixing_them_up(make: Make) -> None:
    outcomes = await _all(make(lambda images: _reds(images)[1:]), _references([4, 5]))
    assert all(isinstance(outcome.result, ImageFailure) for outcome in outcomes)


async def test_requests_take_turns_by_micro_batch(make: Make) -> None:
    order: list[int] = []
    gate = threading.Event()

    def compute(images: Sequence[DecodedImage]) -> list[int]:
        gate.wait()
        order.extend(_reds(images))
        return _reds(images)

    batches = make(compute, micro_batch=1)
    first = asyncio.create_task(_all(batches, _references(range(0, 6))))
    second = asyncio.create_task(_all(batches, _references(range(100, 106))))
    # Both have their first micro-batch in the model's queue before it begins.
    while batches.queued_batches < 2:  # noqa: ASYNC110 - a count has no event to wait for
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, second)
    owners = ["first" if red < 100 else "second" for red in order]
    assert all(owners.count(owner) == 6 for owner in ("first", "second"))
    assert all(abs(owners[:n].count("first") - owners[:n].count("second")) <= 2 for n in range(len(owners)))


async def test_a_request_beyond_the_limit_is_told_when_to_come_again(make: Make) -> None:
    batches = make(_reds, micro_batch=1, max_concurrent_requests=1)
    async with aclosing(batches.run(_references([1, 2, 3]))) as running:
        await anext(running)
        with pytest.raises(OverloadedError) as caught:
            await _all(batches, _references([9]))
        assert caught.value.reason == "QUEUE_FULL"
        assert caught.value.retry_after_seconds is not None
        assert 0.5 <= caught.value.retry_after_seconds <= 30
    assert [outcome.result for outcome in await _all(batches, _references([9]))] == [9]


async def test_a_cancelled_request_stops_between_micro_batches_and_frees_its_place(make: Make) -> None:
    entered, gate = threading.Event(), threading.Event()
    seen: list[int] = []

    def compute(images: Sequence[DecodedImage]) -> list[int]:
        entered.set()
        gate.wait()
        seen.extend(_reds(images))
        return _reds(images)

    batches = make(compute, micro_batch=2, max_concurrent_requests=1)
    task = asyncio.create_task(_all(batches, _references(range(10))))
    await asyncio.to_thread(entered.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert [outcome.result for outcome in await _all(batches, _references([99]))] == [99]
    assert seen == [0, 1, 99]


async def test_the_next_micro_batch_is_decoded_while_one_is_in_the_model() -> None:
    class Watched(ImageLoader):
        async def load(self, references: Sequence[ImageReference]) -> list[object]:  # type: ignore[override]
            loaded = await super().load(references)
            decoded.append(references[0].item_id)
            if len(decoded) == 2:
                loop.call_soon(second_decoded.set)
            return [*loaded]

    decoded: list[int] = []
    second_decoded, loop = threading.Event(), asyncio.get_running_loop()

    def compute(images: Sequence[DecodedImage]) -> list[int]:
        # Ends only once the following micro-batch has been decoded.
        assert second_decoded.wait(30)
        return _reds(images)

    loader = Watched(roots=MediaRoots([]), resolution=Resolution(), max_bytes=1000, max_pixels=1000, threads=1)
    batches = PhotoBatches(loader=loader, compute=compute, micro_batch=1, max_concurrent_requests=1)
    assert [outcome.result for outcome in await _all(batches, _references([1, 2]))] == [1, 2]
    loader.close()
    batches.close()


async def test_a_function_between_micro_batches_runs_on_the_models_thread(make: Make) -> None:
    names: list[str] = []

    def compute(images: Sequence[DecodedImage]) -> list[int]:
        names.append(threading.current_thread().name)
        return _reds(images)

    batches = make(compute)
    await _all(batches, _references([1]))
    assert await batches.run_between(lambda: threading.current_thread().name) == names[0]
