"""The table of metrics, from the collectors."""

import asyncio
from typing import Any, NoReturn

from nats.aio.client import Client

from triptych_common.media import ImageLoader, MediaRoots, Resolution
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


def metrics_table() -> str:
    """One row per metric."""
    return asyncio.run(_metrics_table())


async def _metrics_table() -> str:
    """The parts whose metrics they are belong to an event loop, though nothing is run."""
    client = Client()
    limits = BatchLimits(micro_batch=1, decode_threads=1, max_concurrent_requests=1, decoded_bytes=1)
    loader = ImageLoader(roots=MediaRoots([]), resolution=Resolution(), max_bytes=1, max_pixels=1)
    batches = PhotoBatches[Any, Any](model=ModelLifetime(_nothing), loader=loader, compute=_nothing, limits=limits)
    aggregator = Aggregator(client, ProgressSettings().aggregator_settings())
    embedder = EmbedderService(ReplicaPool([], service="embedder"))
    collectors = {
        "gateway": PipelineMetrics({"embedder": embedder}),
        "progress": AggregatorMetrics(lambda: aggregator, SessionMessages()),
        "embedder, facedetect, cluster": PublisherMetrics(ProgressPublisher(nats_url="", source="")),
        "embedder, facedetect": PhotoMetrics(lambda: batches),
    }
    lines = ["| metric | of | type | meaning |", "|---|---|---|---|"]
    for processes, collector in collectors.items():
        for metric in collector.collect():
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            lines.append(f"| `{name}` | {processes} | {metric.type} | {metric.documentation} |")
    batches.close()
    return "\n".join(lines) + "\n"


def _nothing(*_: object) -> NoReturn:
    raise RuntimeError("the table of metrics loads no model and computes nothing")
