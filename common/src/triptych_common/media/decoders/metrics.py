"""Metrics of the processes that decode: those that were lost, and the memory of those that are there."""

from collections.abc import Callable, Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from triptych_common.media.decoders.pool import Decoders


class DecoderMetrics(Collector):
    """What became of decoders so far; nothing while there are none."""

    def __init__(self, decoders: Callable[[], Decoders | None]) -> None:
        self._decoders = decoders

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        decoders = self._decoders()
        if decoders is None:
            return
        lost = CounterMetricFamily(
            "triptych_decoders_lost",
            "Processes that decode photos that were lost while they had one and were replaced, by `reason`: they "
            "`crashed`, were `killed` by something else, or `timed_out`.",
            labels=["reason"],
        )
        for reason, count in decoders.lost.items():
            lost.add_metric([reason], count)
        yield lost
        yield GaugeMetricFamily(
            "triptych_decoder_memory_bytes",
            "Memory of the processes that decode photos, without what they share with others.",
            decoders.memory_bytes(),
        )
