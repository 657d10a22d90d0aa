"""Metrics of a service of photos: what waits, how large its micro-batches are, and how busy its device is."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from triptych_common.photos.batches import PhotoBatches

_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class PhotoMetrics(Collector):
    """What a service of photos has done so far, and what waits in it; nothing while its model is being loaded."""

    def __init__(self, batches: Callable[[], PhotoBatches[Any, Any] | None]) -> None:
        self._batches = batches

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        batches = self._batches()
        if batches is None:
            return
        queue = batches.queue
        yield GaugeMetricFamily("triptych_photo_requests", "Requests worked on or waiting.", batches.requests)
        waiting = GaugeMetricFamily(
            "triptych_photos_waiting",
            "Photos of these requests that wait, by `stage`: to be decoded, being decoded, or decoded, for the model.",
            labels=["stage"],
        )
        waiting.add_metric(["undecoded"], queue.undecoded)
        waiting.add_metric(["decoding"], queue.decoding)
        waiting.add_metric(["decoded"], queue.decoded)
        yield waiting
        yield GaugeMetricFamily(
            "triptych_decoded_bytes", "Decoded pixels in memory, waiting for the model or in it.", queue.held_bytes
        )
        refused = CounterMetricFamily(
            "triptych_photo_requests_refused",
            "Requests that were refused, by `reason`: too many were here, or too little memory was left.",
            labels=["reason"],
        )
        for reason, count in batches.refused.items():
            refused.add_metric([reason.lower()], count)
        yield refused
        yield _sizes(dict(batches.clock.sizes))
        yield GaugeMetricFamily(
            "triptych_micro_batch_limit", "Photos that the model is given at once.", batches.size.now
        )
        yield CounterMetricFamily(
            "triptych_device_memory_errors", "Times that the device was out of memory.", batches.size.halvings
        )
        yield CounterMetricFamily(
            "triptych_device_busy_seconds",
            "Seconds in which the model was at work; their rate is the busy share of the device.",
            batches.clock.busy_seconds,
        )


def _sizes(counts: dict[int, int]) -> Metric:
    buckets = [(str(float(most)), sum(n for size, n in counts.items() if size <= most)) for most in _SIZES]
    return HistogramMetricFamily(
        "triptych_micro_batch_photos",
        "Photos that went through the model at once.",
        buckets=[*buckets, ("+Inf", sum(counts.values()))],
        sum_value=sum(size * n for size, n in counts.items()),
    )
