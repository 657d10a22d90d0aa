"""The progress service's process: settings, wiring, signals."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import nats.errors
from pydantic import Field

from triptych.v1 import progress_pb2, progress_pb2_grpc
from triptych_common.errors import ConfigurationError
from triptych_common.metrics import serving_metrics
from triptych_common.process import run_process
from triptych_common.progress.events import StreamLimits
from triptych_common.progress.publisher import close_nats, connect_nats
from triptych_common.rpc.server import GrpcServer
from triptych_common.settings import MetricsSettings
from triptych_progress.aggregator import Aggregator, AggregatorSettings
from triptych_progress.metrics import AggregatorMetrics
from triptych_progress.service import ProgressService


class ProgressSettings(MetricsSettings):
    """Settings of the progress service."""

    listen: str = "127.0.0.1:50054"
    """Address that the service listens on, host:port."""
    drain_seconds: float = Field(default=2.0, ge=0)
    """How long calls in flight may go on after SIGTERM before they are cancelled, in seconds."""
    nats_replicas: int = Field(default=1, ge=1, le=5)
    """Replicas of the progress stream and its snapshots, where this process creates them."""
    stream_max_age_seconds: float = Field(default=7 * 24 * 3600.0, ge=60)
    """How long the progress stream keeps events, in seconds, where this process creates it."""
    stream_max_bytes: int = Field(default=2**30, ge=2**20)
    """How much the progress stream keeps, in bytes; the oldest events are discarded first."""
    stream_max_event_bytes: int = Field(default=64 * 1024, ge=4096)
    """Largest event that the progress stream takes, in bytes."""
    snapshot_seconds: float = Field(default=5.0, gt=0)
    """How often changed sessions are written to the key-value store, in seconds."""
    evict_after_seconds: float = Field(default=600.0, ge=0)
    """How long a session that is over stays in memory, in seconds; after that it is read from the key-value store."""
    keep_ended_seconds: float = Field(default=90 * 24 * 3600.0, ge=3600)
    """How long the key-value store keeps a session that is over, in seconds, where this process creates the bucket."""

    def aggregator_settings(self) -> AggregatorSettings:
        """What the aggregator is to know of all that."""
        return AggregatorSettings(
            limits=StreamLimits(
                max_age_seconds=self.stream_max_age_seconds,
                max_bytes=self.stream_max_bytes,
                max_event_bytes=self.stream_max_event_bytes,
                replicas=self.nats_replicas,
            ),
            snapshot_seconds=self.snapshot_seconds,
            evict_after_seconds=self.evict_after_seconds,
            keep_ended_seconds=self.keep_ended_seconds,
        )


async def run(settings: ProgressSettings) -> None:
    """Serve until signalled. Healthy once everything that was in the stream is folded.

    Raises ConfigurationError where the process cannot start as it is set up.
    """
    server = GrpcServer(listen=settings.listen, drain_seconds=settings.drain_seconds, token=settings.shared_token)
    service = ProgressService()
    metrics = AggregatorMetrics(lambda: service.aggregator, service.messages)
    progress_pb2_grpc.add_ProgressServicer_to_server(service, server.server)
    await server.start([progress_pb2.DESCRIPTOR.services_by_name["Progress"].full_name], serving=False)
    async with serving_metrics(settings.metrics_listen, collectors=[metrics]):
        await _serve(settings, service, server, on_lag=metrics.lag.observe)


async def _serve(
    settings: ProgressSettings, service: ProgressService, server: GrpcServer, *, on_lag: Callable[[float], None]
) -> None:
    """Aggregate and answer until signalled; the end of one part ends the other."""
    serving = asyncio.create_task(server.serve_until_signalled(), name="server")
    aggregating = asyncio.create_task(_aggregate(settings, service, server, on_lag), name="aggregator")
    await asyncio.wait([serving, aggregating], return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        serving.cancel()
        await server.stop()
    aggregating.cancel()
    await asyncio.wait([aggregating])
    if not aggregating.cancelled():
        aggregating.result()


async def _aggregate(
    settings: ProgressSettings, service: ProgressService, server: GrpcServer, on_lag: Callable[[float], None]
) -> None:
    """Keep the service's aggregator going until cancelled."""
    try:
        client = await connect_nats(settings.nats_url, name="progress")
    except nats.errors.AuthorizationError as error:
        raise ConfigurationError("NATS refused the credentials in NATS_URL.") from error
    aggregator = Aggregator(client, settings.aggregator_settings())
    aggregator.on_lag = on_lag
    following = asyncio.create_task(aggregator.run(), name="follow")
    stopping = asyncio.create_task(_stop_watchers(server.stopping, aggregator), name="stop watchers")
    waiting = asyncio.create_task(aggregator.caught_up.wait(), name="catch up")
    try:
        await asyncio.wait([following, waiting], return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            service.aggregator = aggregator
            await server.set_serving(serving=True)
        await asyncio.wait([following])
        following.result()
    finally:
        waiting.cancel()
        stopping.cancel()
        # More than once: the NATS client may swallow a cancellation that meets an answer.
        while not following.done():
            following.cancel()
            await asyncio.wait([following], timeout=0.1)
        if client.is_connected:
            await aggregator.save_now()
        await close_nats(client)


async def _stop_watchers(stopping: asyncio.Event, aggregator: Aggregator) -> None:
    """End all watches as soon as the server drains, so that it need not wait for them."""
    await stopping.wait()
    aggregator.watchers.stop()


def main() -> NoReturn:
    """Run the service: the console script ``triptych-progress``."""
    run_process("progress", ProgressSettings, run)
