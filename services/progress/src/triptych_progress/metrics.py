"""Metrics of the aggregator: what it folds and drops, how late, and how the sessions in memory stand."""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from triptych_progress.aggregator import Aggregator, FoldStatistics
from triptych_progress.messages import SessionMessages

_LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class AggregatorMetrics(Collector):
    """Metrics of the aggregator, from when there is one."""

    def __init__(self, aggregator: Callable[[], Aggregator | None], messages: SessionMessages) -> None:
        self._aggregator = aggregator
        self._messages = messages
        self.lag = Histogram(
            "triptych_progress_lag_seconds",
            "From the stream's taking an event to its being folded.",
            buckets=_LAG_BUCKETS,
            registry=None,
        )

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield from self.lag.collect()
        aggregator = self._aggregator()
        if aggregator is None:
            return
        yield from _of_events(aggregator.statistics)
        yield CounterMetricFamily(
            "triptych_progress_reannouncements",
            "Times that a gateway announced every session again because the stream or the snapshots lacked them.",
            aggregator.reannouncement.accepted,
        )
        yield GaugeMetricFamily(
            "triptych_progress_snapshot_age_seconds",
            "Since the snapshots last covered everything that was folded.",
            aggregator.keeper.age_seconds,
        )
        yield GaugeMetricFamily("triptych_progress_sessions", "Sessions in memory.", len(aggregator.sessions.in_memory))
        yield from self._of_sessions(aggregator)

    def _of_sessions(self, aggregator: Aggregator) -> Iterator[Metric]:
        percentage = GaugeMetricFamily(
            "triptych_progress_session_percentage",
            "Percentage of each `session` that is not over, 0 to 100.",
            labels=["session"],
        )
        eta = GaugeMetricFamily(
            "triptych_progress_session_eta_seconds",
            "Seconds of work left in each `session` that is not over, where an estimate can be made.",
            labels=["session"],
        )
        for session_id, session in aggregator.sessions.in_memory.items():
            if session.is_over():
                continue
            message = self._messages.of(session_id, session)
            percentage.add_metric([str(session_id)], message.percentage)
            if message.HasField("eta_seconds"):
                eta.add_metric([str(session_id)], message.eta_seconds)
        yield percentage
        yield eta


def _of_events(statistics: FoldStatistics) -> Iterator[Metric]:
    folded = CounterMetricFamily(
        "triptych_progress_events_folded",
        "Events that were folded, late duplicates too, by `kind`: `counts` of a unit, or `lifecycle` of a run.",
        labels=["kind"],
    )
    for kind, count in statistics.folded.items():
        folded.add_metric([kind], count)
    dropped = CounterMetricFamily(
        "triptych_progress_events_dropped",
        "Events that were dropped, by `reason`: `garbled`, `impossible` by the laws, or a `flaw` of the fold.",
        labels=["reason"],
    )
    for reason, count in statistics.dropped.items():
        dropped.add_metric([reason], count)
    yield folded
    yield dropped
