"""Spans of a micro-batch for each request in it: how long its photos were decoded, and how long it was in the model."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from triptych_common.photos.queue import DecodedPhoto, PhotoRequest
from triptych_common.tracing.spans import record

_NANOSECONDS: Final = 1_000_000_000


@contextmanager
def traced(batch: Sequence[DecodedPhoto]) -> Iterator[None]:
    """A micro-batch is in the model for as long as the context lasts; only what is traced is noted."""
    by_request: dict[PhotoRequest, list[DecodedPhoto]] = defaultdict(list)
    for photo in batch:
        if photo.request.traceparent:
            by_request[photo.request].append(photo)
    if not by_request:
        yield
        return
    began = time.time_ns()
    try:
        yield
    finally:
        ended = time.time_ns()
        for request, photos in by_request.items():
            _record_decoding(request, photos)
            record(
                "inference",
                parent=request.traceparent,
                start_nanoseconds=began,
                end_nanoseconds=ended,
                photos=len(photos),
                micro_batch=len(batch),
                ordinals=[photo.loaded.item_id for photo in photos],
            )


def _record_decoding(request: PhotoRequest, photos: Sequence[DecodedPhoto]) -> None:
    """From the first photo's reading to the last one's pixels; several are decoded at once."""
    # What was noted by the clock that only goes forwards, by that which others have.
    offset = time.time_ns() - time.monotonic_ns()
    began = min(photo.since - photo.loaded.seconds for photo in photos)
    record(
        "decode",
        parent=request.traceparent,
        start_nanoseconds=offset + round(began * _NANOSECONDS),
        end_nanoseconds=offset + round(max(photo.since for photo in photos) * _NANOSECONDS),
        photos=len(photos),
        busy_seconds=sum(photo.loaded.seconds for photo in photos),
        ordinals=[photo.loaded.item_id for photo in photos],
    )
