"""The clusterer's process: its settings, and how its parts are put together."""

from pathlib import Path

from pydantic import Field

from triptych.v1 import clusterer_pb2_grpc
from triptych_cluster.freed_memory import keep_freed_memory
from triptych_cluster.question import MemorySettings
from triptych_cluster.service import SERVICE_NAME, ClustererService
from triptych_common.metrics import serving_metrics
from triptych_common.process import run_process
from triptych_common.process_memory import machine_bytes
from triptych_common.progress.metrics import PublisherMetrics
from triptych_common.progress.publisher import ProgressPublisher
from triptych_common.rpc.server import GrpcServer
from triptych_common.settings import ServiceSettings


class ClusterSettings(ServiceSettings):
    """Settings of the clusterer."""

    listen: str = "127.0.0.1:50053"
    """Address that the service listens on, host:port."""
    max_faces: int = Field(default=1_000_000, ge=1)
    """Most faces that one call may hold."""
    max_memory_bytes: int | None = Field(default=None, ge=1)
    """Most memory that a grouping may take, in bytes; by default three quarters of the machine's or of the container's.
    100,000 faces of 512 numbers take up to 0.8 GiB, a million 3 GiB and 4 GiB of mapped files. Where faces do not fit,
    their vectors are mapped; where they still do not, the call is refused with the figure."""
    spill_above_bytes: int = Field(default=1 << 30, ge=0)
    """Vectors that together are larger than this, in bytes, lie in memory-mapped files."""
    spill_directory: Path | None = None
    """Directory of those files, on a disk with room for the vectors twice; the system's temporary directory by default.
    They have no name, and are gone when the call or the process ends."""
    receive_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long a caller whose turn it is may send nothing before its call is refused, in seconds."""


async def serve(settings: ClusterSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError where the address cannot be had."""
    server = GrpcServer(listen=settings.listen, drain_seconds=settings.drain_seconds, token=settings.shared_token)
    async with (
        ProgressPublisher(nats_url=settings.nats_url, source="cluster") as publisher,
        serving_metrics(settings.metrics_listen, collectors=[PublisherMetrics(publisher)]),
    ):
        service = ClustererService(
            publisher,
            max_faces=settings.max_faces,
            memory=MemorySettings(
                limit_bytes=settings.max_memory_bytes or machine_bytes() * 3 // 4,
                directory=settings.spill_directory,
                mapped_above_bytes=settings.spill_above_bytes,
            ),
            max_concurrent_requests=settings.max_concurrent_requests,
            receive_timeout_seconds=settings.receive_timeout_seconds,
        )
        clusterer_pb2_grpc.add_ClustererServicer_to_server(service, server.server)
        await server.start([SERVICE_NAME])
        await server.serve_until_signalled()
        await service.close()


def main() -> None:
    """Entry point of the console script."""
    keep_freed_memory()
    run_process("cluster", ClusterSettings, serve)
