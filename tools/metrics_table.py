"""The table of metrics, from the collectors."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from nats.aio.client import Client
from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector

from triptych_common.media import ImageLoader, MediaRoots, Resolution, decode_image
from triptych_common.media.decoders.limits import DecoderLimits
from triptych_common.media.decoders.metrics import DecoderMetrics
from triptych_common.media.decoders.pool import Decoders
from triptych_common.models.lifetime import ModelLifetime
from triptych_common.photos.batches import BatchLimits, PhotoBatches
from triptych_common.photos.metrics import PhotoMetrics
from triptych_common.progress.metrics import PublisherMetrics
from triptych_common.progress.publisher import ProgressPublisher
from triptych_common.rpc.channels import ReplicaPool
from triptych_gateway.pipeline.metrics import PipelineMetrics
from triptych_gateway.pipeline.photos.photo_services import EmbedderService
from triptych_progress.aggregator import Aggregator
from triptych_progress.main import ProgressSettings
from triptych_progress.messages import SessionMessages
from triptych_progress.metrics import AggregatorMetrics

_EVERY_PROCESS: Final = "gateway, progress, embedder, facedetect, cluster"


def metrics_table() -> str:
    """One row per metric."""
    return asyncio.run(_metrics_table())


@dataclass(frozen=True, kw_only=True)
class KnownMetric:
    """A series that processes serve."""

    processes: tuple[str, ...]
    labels: frozenset[str]


def known_metrics() -> dict[str, KnownMetric]:
    """Every series that the processes serve, by its name, also those of the process itself."""
    known: dict[str, KnownMetric] = {}
    for processes, metric in asyncio.run(_all_metrics()):
        labels = frozenset(_label_names(metric))
        served = tuple(processes.split(", "))
        for name, more in _series_of(metric):
            known[name] = KnownMetric(processes=served, labels=labels | more)
    return known


def _series_of(metric: Metric) -> Iterator[tuple[str, frozenset[str]]]:
    """Names of a metric's series, each with the labels that its kind adds."""
    if metric.type == "histogram":
        yield f"{metric.name}_bucket", frozenset({"le"})
        yield f"{metric.name}_sum", frozenset()
        yield f"{metric.name}_count", frozenset()
    else:
        yield f"{metric.name}_total" if metric.type == "counter" else metric.name, frozenset()


def _label_names(metric: Metric) -> Iterator[str]:
    # A family without a sample has its labels in this field alone.
    yield from getattr(metric, "_labelnames", ())
    for sample in metric.samples:
        yield from sample.labels.keys() - {"le"}


async def _metrics_table() -> str:
    lines = ["| metric | of | type | meaning |", "|---|---|---|---|"]
    for processes, metric in await _all_metrics():
        if processes != _EVERY_PROCESS:
            name = next(_series_of(metric))[0].removesuffix("_bucket")
            lines.append(f"| `{name}` | {processes} | {metric.type} | {metric.documentation} |")
    return "\n".join(lines) + "\n"


async def _all_metrics() -> list[tuple[str, Metric]]:
    """Each metric with the processes that serve it; those that every process has come last.

    The parts whose metrics they are belong to an event loop, though nothing is run.
    """
    client = Client()
    limits = BatchLimits(micro_batch=1, decode_threads=1, max_concurrent_requests=1, decoded_bytes=1)
    loader = ImageLoader(roots=MediaRoots([]), decode=decode_image, resolution=Resolution(), max_bytes=1, max_pixels=1)
    batches = PhotoBatches[Any, Any](model=ModelLifetime(_nothing), loader=loader, compute=_nothing, limits=limits)
    decoders = Decoders(DecoderLimits(processes=1, seconds=1, memory_bytes=1, max_pixels=1))
    aggregator = Aggregator(client, ProgressSettings().aggregator_settings())
    embedder = EmbedderService(ReplicaPool([], service="embedder"))
    collectors: dict[str, Collector] = {
        "gateway": PipelineMetrics({"embedder": embedder}),
        "progress": AggregatorMetrics(lambda: aggregator, SessionMessages()),
        "embedder, facedetect, cluster": PublisherMetrics(ProgressPublisher(nats_url="", source="")),
        "embedder, facedetect": PhotoMetrics(lambda: batches),
        "gateway, embedder, facedetect": DecoderMetrics(lambda: decoders),
        _EVERY_PROCESS: ProcessCollector(registry=None),
    }
    found = [(processes, metric) for processes, one in collectors.items() for metric in one.collect()]
    batches.close()
    return found


def _nothing(*_: object) -> NoReturn:
    raise RuntimeError("the table of metrics loads no model and computes nothing")
