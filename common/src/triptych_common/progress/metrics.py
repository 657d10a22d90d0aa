"""Metrics of the publisher of progress: above all, whether anything is lost."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from triptych_common.progress.publisher import ProgressPublisher


class PublisherMetrics(Collector):
    """What a publisher has done so far, and what waits in it."""

    def __init__(self, publisher: ProgressPublisher) -> None:
        self._publisher = publisher

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        statistics = self._publisher.statistics
        yield CounterMetricFamily(
            "triptych_publisher_reports", "Reports of work; newer ones replace older ones.", statistics.reports
        )
        yield CounterMetricFamily("triptych_publisher_events", "Reports that were sent to NATS.", statistics.sent)
        dropped = CounterMetricFamily(
            "triptych_publisher_dropped",
            "Units whose newest report was dropped, by `reason`: too many waited (`full`), or NATS `refused` it.",
            labels=["reason"],
        )
        for reason, count in statistics.dropped.items():
            dropped.add_metric([reason], count)
        yield dropped
        yield GaugeMetricFamily("triptych_publisher_waiting", "Units whose newest report waits.", statistics.waiting)
        yield GaugeMetricFamily(
            "triptych_publisher_connected", "1 while NATS is there, else 0.", int(self._publisher.is_connected)
        )
