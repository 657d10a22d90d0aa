"""Metrics of the pipeline: how much work waits for each service of photos, and how much it is given."""

from collections.abc import Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from triptych_gateway.pipeline.photos.photo_services import PhotoService


class PipelineMetrics(Collector):
    """Shards of the sessions that this gateway runs, by service."""

    def __init__(self, services: Mapping[str, PhotoService]) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        waiting = GaugeMetricFamily(
            "triptych_shards_waiting",
            "Shards of the sessions that this gateway runs that wait for a place at a `service`, or for the service "
            "itself; before it has named its model, as many as the phase has photos for.",
            labels=["service"],
        )
        in_flight = GaugeMetricFamily(
            "triptych_shards_in_flight", "Shards that a `service` is at work on.", labels=["service"]
        )
        limit = GaugeMetricFamily(
            "triptych_shards_limit", "Shards that a `service` is given at once, by what it takes.", labels=["service"]
        )
        replicas = GaugeMetricFamily(
            "triptych_replicas",
            "Replicas of a `service` that its addresses stand for, looked up every ten seconds.",
            labels=["service"],
        )
        for name, service in self._services.items():
            busy = service.limit.in_flight
            waiting.add_metric([name], max(0, service.backlog.shards - busy))
            in_flight.add_metric([name], busy)
            limit.add_metric([name], service.limit.limit)
            replicas.add_metric([name], len(service.pool.addresses))
        yield waiting
        yield in_flight
        yield limit
        yield replicas
