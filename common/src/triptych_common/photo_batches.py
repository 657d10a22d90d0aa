"""Photos through a model in micro-batches: decoding beside computing, turns for all, one outcome for each photo."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from triptych_common.errors import OverloadedError
from triptych_common.logging import get_logger
from triptych_common.media import DecodedImage, ImageFacts, ImageFailure, ImageLoader, ImageReference, LoadedImage

log = get_logger(__name__)

ResultT = TypeVar("ResultT")
ReturnT = TypeVar("ReturnT")

_RETRY_AFTER_SECONDS = (0.5, 30.0)
"""Bounds of what a refused caller is told to wait."""
_RATE_MEMORY = 0.8
"""Weight of the past in the smoothed time per photo."""


@dataclass(frozen=True, kw_only=True)
class PhotoOutcome(Generic[ResultT]):
    """What became of one photo."""

    item_id: int
    """The caller's own number for it."""
    facts: ImageFacts | None
    """Absent where the photo could not be decoded."""
    result: ResultT | ImageFailure
    seconds: float
    """Reading and decoding, plus the photo's share of its micro-batch's time in the model; without time in queues."""


class PhotoBatches(Generic[ResultT]):
    """Feeds one model from any number of requests. Close it when done.

    ``compute`` takes decoded photos and returns one result for each, in order; it runs on one thread that this object
    owns, so it is never entered twice at once. Each request has at most one micro-batch in that thread's queue, which
    is why requests take turns; its next micro-batch is decoded meanwhile.
    """

    def __init__(
        self,
        *,
        loader: ImageLoader,
        compute: Callable[[Sequence[DecodedImage]], Sequence[ResultT]],
        micro_batch: int,
        max_concurrent_requests: int,
    ) -> None:
        self._loader = loader
        self._compute = compute
        self._micro_batch = micro_batch
        self._max_concurrent_requests = max_concurrent_requests
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.queued_batches = 0
        """Micro-batches in the model or waiting for it."""
        self._requests = 0
        self._photos_left = 0
        self._seconds_per_photo = 0.0

    async def run(self, references: Sequence[ImageReference]) -> AsyncGenerator[list[PhotoOutcome[ResultT]], None]:
        """Yield the outcomes of one micro-batch after another, each photo exactly once, in order.

        A photo that cannot be decoded, or on which the model fails, has an ImageFailure for its result. Closing the
        generator stops the work between micro-batches. Raises OverloadedError (reason QUEUE_FULL) before any work
        where too many requests are here already.
        """
        if self._requests >= self._max_concurrent_requests:
            raise OverloadedError(
                f"{self._requests} requests are here already; more are not queued.",
                reason="QUEUE_FULL",
                retry_after_seconds=self._retry_after_seconds(),
            )
        self._requests += 1
        self._photos_left += len(references)
        left = len(references)
        loading: asyncio.Task[list[LoadedImage]] | None = None
        try:
            starts = range(0, len(references), self._micro_batch)
            batches = [references[start : start + self._micro_batch] for start in starts]
            for number in range(len(batches)):
                loaded = await (loading or self._load(batches[number]))
                loading = self._load(batches[number + 1]) if number + 1 < len(batches) else None
                outcomes = await self._outcomes(loaded)
                left -= len(outcomes)
                self._photos_left -= len(outcomes)
                yield outcomes
        finally:
            self._requests -= 1
            self._photos_left -= left
            if loading is not None:
                loading.cancel()
                await asyncio.wait([loading])

    async def run_between(self, function: Callable[[], ReturnT]) -> ReturnT:
        """Call a function of the model on its thread, when the micro-batches that wait have had their turn."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def close(self) -> None:
        """Wait for the micro-batch in the model and stop the thread; what is queued is dropped."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _load(self, batch: Sequence[ImageReference]) -> "asyncio.Task[list[LoadedImage]]":
        return asyncio.create_task(self._loader.load(batch), name="decode a micro-batch")

    async def _outcomes(self, loaded: Sequence[LoadedImage]) -> list[PhotoOutcome[ResultT]]:
        decoded = [one.image for one in loaded if isinstance(one.image, DecodedImage)]
        results: list[ResultT | ImageFailure] = []
        share_seconds = 0.0
        if decoded:
            self.queued_batches += 1
            try:
                results, seconds = await self.run_between(lambda: self._timed(decoded))
            finally:
                self.queued_batches -= 1
            share_seconds = seconds / len(decoded)
            past = self._seconds_per_photo or share_seconds
            self._seconds_per_photo = _RATE_MEMORY * past + (1 - _RATE_MEMORY) * share_seconds
        in_order = iter(results)
        return [
            PhotoOutcome(
                item_id=one.item_id, facts=one.image.facts, result=next(in_order), seconds=one.seconds + share_seconds
            )
            if isinstance(one.image, DecodedImage)
            else PhotoOutcome(item_id=one.item_id, facts=None, result=one.image, seconds=one.seconds)
            for one in loaded
        ]

    def _timed(self, images: Sequence[DecodedImage]) -> tuple[list[ResultT | ImageFailure], float]:
        began = time.perf_counter()
        results = self._results(images)
        return results, time.perf_counter() - began

    def _results(self, images: Sequence[DecodedImage]) -> list[ResultT | ImageFailure]:
        """One result for each photo. Where the model fails on several, each is tried alone to find the culprit."""
        try:
            return self._whole(images)
        except Exception as error:  # a model may raise anything, and one photo must cost only itself
            if len(images) > 1:
                log.warning("model failed on a micro-batch; its photos are tried alone", error=repr(error))
                return [self._results([image])[0] for image in images]
            log.exception("model failed on a photo", content_sha256=images[0].facts.content_sha256.hex())
            return [ImageFailure("model_failed", "The model failed on this photo.", permanent=False)]

    def _whole(self, images: Sequence[DecodedImage]) -> list[ResultT | ImageFailure]:
        results = self._compute(images)
        if len(results) != len(images):
            raise ValueError(f"the model gave {len(results)} results for {len(images)} photos")
        return [*results]

    def _retry_after_seconds(self) -> float:
        """About when the first of the requests that are here will have ended, if they all go on alike."""
        shortest, longest = _RETRY_AFTER_SECONDS
        return min(max(self._photos_left * self._seconds_per_photo / self._requests, shortest), longest)
