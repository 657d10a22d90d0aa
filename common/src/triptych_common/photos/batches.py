"""Photos through a model in micro-batches: decoding beside computing, turns for all, one outcome for each photo."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from triptych_common.errors import AwayError, OverloadedError
from triptych_common.media import DecodedImage, ImageFacts, ImageFailure, ImageLoader, ImageReference, LoadedImage
from triptych_common.media.decoders.pool import Decoders
from triptych_common.models.lifetime import LoadedModel, ModelLifetime
from triptych_common.photos.batch_size import BatchSize
from triptych_common.photos.device_work import DeviceClock, DeviceWork
from triptych_common.photos.queue import DecodedPhoto, PhotoQueue, PhotoRequest
from triptych_common.photos.tracing import traced
from triptych_common.process_memory import MemoryCeiling
from triptych_common.settings import PhotoServiceSettings

ModelT = TypeVar("ModelT", bound=LoadedModel)
ResultT = TypeVar("ResultT")
ReturnT = TypeVar("ReturnT")

_RETRY_AFTER_SECONDS = (0.5, 30.0)
"""Bounds of what a refused caller is told to wait."""
_RATE_MEMORY = 0.8
"""Weight of the past in the smoothed time per photo."""


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """How much a service of photos takes on at once."""

    micro_batch: int
    """Most photos that go through the model at once."""
    decode_threads: int
    """Photos that are read and decoded at once."""
    max_concurrent_requests: int
    """Requests worked on or waiting at once."""
    decoded_bytes: int
    """Decoded pixels that are held in memory; see PhotoQueue."""
    lanes: int = 1
    """Micro-batches that may be in the model at once."""
    memory_ceiling_bytes: int | None = None
    """Resident memory of the process and its decoders beyond which no further request is taken."""

    @classmethod
    def of(cls, settings: PhotoServiceSettings, *, micro_batch: int, lanes: int) -> Self:
        """The limits that are set, with micro-batches of so many photos."""
        return cls(
            micro_batch=micro_batch,
            decode_threads=settings.decode_threads,
            max_concurrent_requests=settings.max_concurrent_requests,
            decoded_bytes=settings.decoded_bytes,
            lanes=lanes,
            memory_ceiling_bytes=settings.memory_ceiling_bytes,
        )


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


@dataclass
class _News(Generic[ResultT]):
    """What became of some photos of a request."""

    outcomes: list[PhotoOutcome[ResultT]] = field(default_factory=list)
    away: list[AwayError] = field(default_factory=list)
    """One for each photo without an outcome, as the place that it is read from was away."""

    @property
    def photos(self) -> int:
        """How many it tells of."""
        return len(self.outcomes) + len(self.away)

    def add(self, other: "_News[ResultT]") -> None:
        """Some more."""
        self.outcomes += other.outcomes
        self.away += other.away


@dataclass(eq=False)
class _Reader(Generic[ResultT]):
    """Who waits for a request's outcomes. Only the event loop changes it."""

    left: int
    """Photos of which nothing was heard."""
    news: _News[ResultT] = field(default_factory=_News)
    has_news: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, news: _News[ResultT]) -> None:
        """There is something to hear."""
        self.news.add(news)
        self.has_news.set()

    async def take(self) -> _News[ResultT]:
        """Wait for news, and take all that are there."""
        await self.has_news.wait()
        self.has_news.clear()
        news, self.news = self.news, _News()
        self.left -= news.photos
        return news


class PhotoBatches(Generic[ModelT, ResultT]):
    """Feeds one model from any number of requests. Close it when done.

    Threads decode, and one thread (or ``limits.lanes``) owns the device: it calls ``compute`` with the model and
    decoded photos, and gets one result for each, in order. What waits for them, and whose turn it is, is in PhotoQueue.
    ``decoders`` are those that the loader decodes with: they count as this process's memory, and are closed with this.
    """

    def __init__(
        self,
        *,
        model: ModelLifetime[ModelT],
        loader: ImageLoader,
        compute: Callable[[ModelT, Sequence[NDArray[np.uint8]]], Sequence[ResultT]],
        limits: BatchLimits,
        decoders: Decoders | None = None,
    ) -> None:
        self._model = model
        self._loader = loader
        self._limits = limits
        self.decoders = decoders
        self._ceiling = MemoryCeiling(
            limits.memory_ceiling_bytes, beside=decoders.memory_bytes if decoders is not None else lambda: 0
        )
        self.size = BatchSize(limits.micro_batch)
        self.clock = DeviceClock()
        self._work = DeviceWork(compute, size=self.size, clock=self.clock)
        self.queue = PhotoQueue(
            micro_batch=limits.micro_batch,
            # Enough for the next micro-batch of each lane and a good part of the one after it.
            photos_ahead=(limits.lanes + 1) * limits.micro_batch + limits.decode_threads,
            most_unread=(limits.lanes + 3) * limits.micro_batch,
            max_bytes=limits.decoded_bytes,
            lanes=limits.lanes,
        )
        self._readers: dict[PhotoRequest, _Reader[ResultT]] = {}
        self.requests = 0
        """Requests that are here."""
        self._calls = 0
        self.refused = {"QUEUE_FULL": 0, "MEMORY_CEILING": 0}
        """Requests that were refused, by reason."""
        self._seconds_per_photo = 0.0
        self._loop = asyncio.get_running_loop()
        self._threads = [
            *(threading.Thread(target=self._decode, name=f"decode {n}") for n in range(limits.decode_threads)),
            *(threading.Thread(target=self._compute, name=f"model {n}") for n in range(limits.lanes)),
        ]
        for thread in self._threads:
            thread.daemon = True  # a disk that hangs must not keep the process from ending
            thread.start()

    async def run(self, references: Sequence[ImageReference]) -> AsyncGenerator[list[PhotoOutcome[ResultT]], None]:
        """Yield the outcomes of one micro-batch after another, each photo exactly once, in no particular order.

        A photo that cannot be decoded, or on which the model fails, has an ImageFailure for its result. Closing the
        generator stops the work between micro-batches. Raises OverloadedError (reason QUEUE_FULL or MEMORY_CEILING)
        before any work where no more can be taken on, and AwayError where the model cannot be loaded, or, after all
        other outcomes, where photos were left without one as the place that they are read from is away.
        """
        self._admit(references)
        # It has its place from here on, also while the model is being loaded.
        self.requests += 1
        try:
            async with self._model.in_use():
                request = self.queue.put(references)
                reader = self._readers[request] = _Reader(left=len(references))
                away: AwayError | None = None
                try:
                    while reader.left:
                        news = await reader.take()
                        if news.outcomes:
                            yield news.outcomes
                        away = news.away[-1] if news.away else away
                        self.queue.was_read(request, news.photos)
                finally:
                    self.queue.withdraw(request)
                    del self._readers[request]
                if away is not None:
                    raise away
        finally:
            self.requests -= 1

    async def run_between(self, function: Callable[[ModelT], ReturnT]) -> ReturnT:
        """Call a function of the model on a thread that owns the device, before the next micro-batch.

        Raises OverloadedError (QUEUE_FULL) where as many calls wait as requests may, and AwayError where the model
        cannot be loaded.
        """
        if self._calls >= self._limits.max_concurrent_requests:
            raise self._refusal(f"{self._calls} calls are here already; more are not queued.", "QUEUE_FULL")
        future: Future[ReturnT] = Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            with self._model.borrowed() as model:
                try:
                    assert model is not None  # noqa: S101 - it is in use
                    future.set_result(function(model))
                except BaseException as error:  # noqa: BLE001 - it is raised where the function was asked for
                    future.set_exception(error)

        self._calls += 1
        try:
            async with self._model.in_use():
                self.queue.call(call)
                return await asyncio.wrap_future(future)
        finally:
            self._calls -= 1

    def close(self) -> None:
        """Wait for the micro-batch in the model and stop the threads; what waits or is decoded is dropped."""
        self.queue.close()
        for thread in self._threads:
            if thread.name.startswith("model"):
                thread.join()
        if self.decoders is not None:
            self.decoders.close()

    def _admit(self, references: Sequence[ImageReference]) -> None:
        if self.requests >= self._limits.max_concurrent_requests:
            raise self._refusal(f"{self.requests} requests are here already; more are not queued.", "QUEUE_FULL")
        queue = self.queue
        ahead = min(len(references), self._limits.micro_batch + self._limits.decode_threads)
        needed_bytes = min(ahead * queue.expected_bytes, max(0, self._limits.decoded_bytes - queue.held_bytes))
        if not self._ceiling.has_room(needed_bytes):
            raise self._refusal(
                "The memory that this process may have is in use; more is not taken on.", "MEMORY_CEILING"
            )

    def _refusal(self, message: str, reason: str) -> OverloadedError:
        self.refused[reason] += 1
        shortest, longest = _RETRY_AFTER_SECONDS
        # About when the first of the requests that are here will have ended, if they all go on alike.
        left = sum(reader.left for reader in self._readers.values())
        seconds = left * self._seconds_per_photo / max(1, self.requests)
        return OverloadedError(message, reason=reason, retry_after_seconds=min(max(seconds, shortest), longest))

    def _decode(self) -> None:
        """What a thread does that decodes."""
        while (taken := self.queue.next_to_decode()) is not None:
            request, reference = taken
            self.queue.give_decoded(request, self._loader.load(reference))

    def _compute(self) -> None:
        """What a thread does that owns the device."""
        while (taken := self.queue.next_to_compute(lambda: self.size.now)) is not None:
            if not isinstance(taken, list):
                taken()
                continue
            try:
                news, seconds = self._compute_batch(taken)
            finally:
                self.queue.done_with(taken)
            # The pixels are let go of before anybody is told.
            taken = None
            if news:
                self._loop.call_soon_threadsafe(self._deliver, news, seconds)

    def _compute_batch(self, batch: list[DecodedPhoto]) -> tuple[dict[PhotoRequest, _News[ResultT]], float | None]:
        """News by request, and the seconds a photo took in the model, if any came to it."""
        with self._model.borrowed() as model, traced(batch):
            # Without a model, nobody waits for any of them.
            computed = self._work.run(model, batch) if model is not None else []
        by_request: dict[PhotoRequest, _News[ResultT]] = defaultdict(_News)
        for one in computed:
            news = by_request[one.photo.request]
            if isinstance(one.result, AwayError):
                news.away.append(one.result)
            else:
                news.outcomes.append(_outcome(one.photo.loaded, one.result, one.seconds))
        in_model = [one.seconds for one in computed if one.seconds]
        return by_request, sum(in_model) / len(in_model) if in_model else None

    def _deliver(self, news: dict[PhotoRequest, _News[ResultT]], seconds_per_photo: float | None) -> None:
        if seconds_per_photo is not None:
            past = self._seconds_per_photo or seconds_per_photo
            self._seconds_per_photo = _RATE_MEMORY * past + (1 - _RATE_MEMORY) * seconds_per_photo
        for request, some in news.items():
            reader = self._readers.get(request)
            if reader is not None:
                reader.give(some)


def _outcome(loaded: LoadedImage, result: ResultT | ImageFailure, seconds: float) -> PhotoOutcome[ResultT]:
    return PhotoOutcome(
        item_id=loaded.item_id,
        facts=loaded.image.facts if isinstance(loaded.image, DecodedImage) else None,
        result=result,
        seconds=loaded.seconds + seconds,
    )
