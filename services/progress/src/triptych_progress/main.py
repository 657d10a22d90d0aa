"""The progress service's process: settings, wiring, signals."""

import asyncio
from typing import NoReturn

import nats.errors
from pydantic import Field

from triptych.v1 import progress_pb2, progress_pb2_grpc
from triptych_common.errors import ConfigurationError
from triptych_common.grpc_server import GrpcServer
from triptych_common.logging import get_logger
from triptych_common.process import run_process
from triptych_common.publisher import connect_nats
from triptych_common.settings import ProcessSettings
from triptych_progress.aggregator import Aggregator
from triptych_progress.service import ProgressService

log = get_logger(__name__)


class ProgressSettings(ProcessSettings):
    """Settings of the progress service."""

    listen: str = "127.0.0.1:50054"
    """Address that the service listens on, host:port."""
    drain_seconds: float = Field(default=2.0, ge=0)
    """How long calls in flight may go on after SIGTERM before they are cancelled, in seconds."""
    snapshot_seconds: float = Field(default=2.0, gt=0)
    """How often changed sessions are written to the key-value store, in seconds."""


async def run(settings: ProgressSettings) -> None:
    """Serve until signalled. Healthy once everything that was in the stream is folded."""
    client = None
    while client is None:
        try:
            client = await connect_nats(settings.nats_url, name="progress")
        except nats.errors.AuthorizationError as error:
            raise ConfigurationError("NATS refused the credentials in NATS_URL.") from error
        except (nats.errors.Error, OSError) as error:
            log.warning("waiting for nats", error=repr(error))
            await asyncio.sleep(0.5)
    aggregator = Aggregator(client, replicas=settings.nats_replicas, snapshot_seconds=settings.snapshot_seconds)
    following = asyncio.create_task(aggregator.run(), name="aggregator")
    try:
        await _first(following, aggregator.caught_up)
        server = GrpcServer(listen=settings.listen, drain_seconds=settings.drain_seconds)
        progress_pb2_grpc.add_ProgressServicer_to_server(
            ProgressService(aggregator, stopping=server.stopping), server.server
        )
        await server.start([progress_pb2.DESCRIPTOR.services_by_name["Progress"].full_name])
        serving = asyncio.create_task(server.serve_until_signalled(), name="server")
        await asyncio.wait([following, serving], return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            await server.stop()
            following.result()
    finally:
        following.cancel()
        await asyncio.wait([following])
        await aggregator.save_now()
        await client.close()


async def _first(following: asyncio.Task[None], ready: asyncio.Event) -> None:
    """Wait until the aggregator has caught up; raise what it raised if it ended instead."""
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([following, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if following.done():
        following.result()


def main() -> NoReturn:
    """Run the service: the console script ``triptych-progress``."""
    run_process("progress", ProgressSettings, run)
