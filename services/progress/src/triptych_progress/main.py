"""The progress service's process: settings, wiring, signals."""

import asyncio
from typing import NoReturn

import nats.errors
from pydantic import Field

from triptych.v1 import progress_pb2, progress_pb2_grpc
from triptych_common.errors import ConfigurationError
from triptych_common.grpc_server import GrpcServer
from triptych_common.process import run_process
from triptych_common.publisher import close_nats, connect_nats
from triptych_common.settings import ProcessSettings
from triptych_progress.aggregator import Aggregator
from triptych_progress.service import ProgressService


class ProgressSettings(ProcessSettings):
    """Settings of the progress service."""

    listen: str = "127.0.0.1:50054"
    """Address that the service listens on, host:port."""
    drain_seconds: float = Field(default=2.0, ge=0)
    """How long calls in flight may go on after SIGTERM before they are cancelled, in seconds."""
    nats_replicas: int = Field(default=1, ge=1, le=5)
    """Replicas of the progress stream and its snapshots, where this process creates them."""
    snapshot_seconds: float = Field(default=2.0, gt=0)
    """How often changed sessions are written to the key-value store, in seconds."""


async def run(settings: ProgressSettings) -> None:
    """Serve until signalled. Healthy once everything that was in the stream is folded.

    Raises ConfigurationError where the process cannot start as it is set up.
    """
    server = GrpcServer(listen=settings.listen, drain_seconds=settings.drain_seconds)
    service = ProgressService(stopping=server.stopping)
    progress_pb2_grpc.add_ProgressServicer_to_server(service, server.server)
    await server.start([progress_pb2.DESCRIPTOR.services_by_name["Progress"].full_name], serving=False)
    serving = asyncio.create_task(server.serve_until_signalled(), name="server")
    aggregating = asyncio.create_task(_aggregate(settings, service, server), name="aggregator")
    await asyncio.wait([serving, aggregating], return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        serving.cancel()
        await server.stop()
    aggregating.cancel()
    await asyncio.wait([aggregating])
    if not aggregating.cancelled():
        aggregating.result()


async def _aggregate(settings: ProgressSettings, service: ProgressService, server: GrpcServer) -> None:
    """Keep the service's aggregator going until cancelled."""
    try:
        client = await connect_nats(settings.nats_url, name="progress")
    except nats.errors.AuthorizationError as error:
        raise ConfigurationError("NATS refused the credentials in NATS_URL.") from error
    aggregator = Aggregator(client, replicas=settings.nats_replicas, snapshot_seconds=settings.snapshot_seconds)
    following = asyncio.create_task(aggregator.run(), name="follow")
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
        # More than once: the NATS client may swallow a cancellation that meets an answer.
        while not following.done():
            following.cancel()
            await asyncio.wait([following], timeout=0.1)
        if client.is_connected:
            await aggregator.save_now()
        await close_nats(client)


def main() -> NoReturn:
    """Run the service: the console script ``triptych-progress``."""
    run_process("progress", ProgressSettings, run)
