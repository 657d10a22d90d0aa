"""The table of metrics, from the collectors."""

import asyncio

from nats.aio.client import Client

from triptych_common.publisher import ProgressPublisher
from triptych_common.publisher_metrics import PublisherMetrics
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
    aggregator = Aggregator(client, ProgressSettings().aggregator_settings())
    collectors = {
        "progress": AggregatorMetrics(lambda: aggregator, SessionMessages()),
        "embedder, facedetect, cluster": PublisherMetrics(ProgressPublisher(nats_url="", source="")),
    }
    lines = ["| metric | of | type | meaning |", "|---|---|---|---|"]
    for processes, collector in collectors.items():
        for metric in collector.collect():
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            lines.append(f"| `{name}` | {processes} | {metric.type} | {metric.documentation} |")
    return "\n".join(lines) + "\n"
