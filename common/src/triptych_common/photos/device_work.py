"""A micro-batch on the device: its results, whatever the model raises, and how long the device was at it."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.media import DecodedImage, ImageFailure
from triptych_common.models.description import DeviceMemoryError
from triptych_common.photos.batch_size import BatchSize
from triptych_common.photos.queue import DecodedPhoto

log = get_logger(__name__)

ModelT = TypeVar("ModelT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class ComputedPhoto(Generic[ResultT]):
    """What the model made of one photo."""

    photo: DecodedPhoto
    result: ResultT | ImageFailure | AwayError
    """AwayError where it could not be read, which says nothing about the photo."""
    seconds: float
    """The photo's share of its micro-batch's time in the model; 0 for one that never reached it."""


class DeviceClock:
    """How long a device has been at work, and on how many photos at once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work = 0
        self._since = 0.0
        self._busy_seconds = 0.0
        self.sizes: Counter[int] = Counter()
        """Photos of a micro-batch → how many micro-batches had so many."""

    @property
    def busy_seconds(self) -> float:
        """Time in which at least one micro-batch was in the model, up to now."""
        with self._lock:
            return self._busy_seconds + (time.monotonic() - self._since if self._at_work else 0.0)

    @contextmanager
    def working(self, *, photos: int) -> Iterator[None]:
        """A micro-batch is in the model for as long as the context lasts."""
        with self._lock:
            self.sizes[photos] += 1
            if not self._at_work:
                self._since = time.monotonic()
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
                if not self._at_work:
                    self._busy_seconds += time.monotonic() - self._since


class DeviceWork(Generic[ModelT, ResultT]):
    """Gives micro-batches to a model. Where it fails on several photos, each is tried alone to find the culprit; where
    the device's memory is too small for them, they are tried in smaller parts.
    """

    def __init__(
        self,
        compute: Callable[[ModelT, Sequence[NDArray[np.uint8]]], Sequence[ResultT]],
        *,
        size: BatchSize,
        clock: DeviceClock,
    ) -> None:
        self._compute = compute
        self._size = size
        self._clock = clock

    def run(self, model: ModelT, batch: Sequence[DecodedPhoto]) -> list[ComputedPhoto[ResultT]]:
        """What became of each photo of a micro-batch, in any order; those of requests that are gone may be left out.

        A photo that cannot be decoded keeps its failure and does not reach the model.
        """
        computed: list[ComputedPhoto[ResultT]] = [
            ComputedPhoto(photo=photo, result=photo.loaded.image, seconds=0.0)
            for photo in batch
            if isinstance(photo.loaded.image, ImageFailure | AwayError)
        ]
        parts = deque([[photo for photo in batch if isinstance(photo.loaded.image, DecodedImage)]])
        while parts:
            part = [photo for photo in parts.popleft() if not photo.request.is_gone]
            if len(part) > self._size.now:
                parts.appendleft(part[self._size.now :])
                part = part[: self._size.now]
            if not part:
                continue
            began = time.monotonic()
            try:
                results = self._whole(model, part)
            except DeviceMemoryError as error:
                self._note(part, error)
                if len(part) > 1:
                    parts.appendleft(part)
                results = [_too_large()] if len(part) == 1 else []
            except Exception as error:  # noqa: BLE001 - a model may raise anything, and one photo must cost only itself
                parts.extendleft(reversed(_alone(part, error)))
                results = [_failed()] if len(part) == 1 else []
            else:
                self._size.fitted(len(part))
            share_seconds = (time.monotonic() - began) / len(part)
            computed += [
                ComputedPhoto(photo=photo, result=result, seconds=share_seconds)
                for photo, result in zip(part, results, strict=bool(results))
            ]
        return computed

    def _whole(self, model: ModelT, part: Sequence[DecodedPhoto]) -> list[ResultT | ImageFailure]:
        pixels = [photo.loaded.image.pixels for photo in part if isinstance(photo.loaded.image, DecodedImage)]
        with self._clock.working(photos=len(part)):
            results = self._compute(model, pixels)
        if len(results) != len(part):
            raise ValueError(f"the model gave {len(results)} results for {len(part)} photos")
        return [*results]

    def _note(self, part: list[DecodedPhoto], error: DeviceMemoryError) -> None:
        size = self._size.did_not_fit(len(part))
        log.warning("the device is out of memory", photos=len(part), photos_at_once_now=size, error=str(error))


def _alone(part: list[DecodedPhoto], error: Exception) -> list[list[DecodedPhoto]]:
    """Each photo by itself; none of a single one."""
    if len(part) == 1:
        log.error("model failed on a photo", item_id=part[0].loaded.item_id, exc_info=error)
        return []
    log.warning("model failed on a micro-batch; its photos are tried alone", photos=len(part), error=repr(error))
    return [[photo] for photo in part]


def _failed() -> ImageFailure:
    return ImageFailure("model_failed", "The model failed on this photo.", permanent=False)


def _too_large() -> ImageFailure:
    return ImageFailure("model_failed", "The device's memory is too small for this photo.", permanent=False)
