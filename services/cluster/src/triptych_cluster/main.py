"""The clusterer's process: its settings, and how its parts are put together."""

from pydantic import Field

from triptych.v1 import clusterer_pb2_grpc
from triptych_cluster.service import SERVICE_NAME, ClustererService
from triptych_common.grpc_server import GrpcServer
from triptych_common.metrics import serving_metrics
from triptych_common.process import run_process
from triptych_common.publisher import ProgressPublisher
from triptych_common.publisher_metrics import PublisherMetrics
from triptych_common.settings import ServiceSettings


class ClusterSettings(ServiceSettings):
    """Settings of the clusterer."""

    listen: str = "127.0.0.1:50053"
    """Address that the service listens on, host:port."""
    max_faces: int = Field(default=1_000_000, ge=1)
    """Most faces that one call may hold. A million of 512 numbers take about 5 GiB while they are grouped."""
    receive_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long a caller whose turn it is may send nothing before its call is refused, in seconds."""


async def serve(settings: ClusterSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError where the address cannot be had."""
    server = GrpcServer(listen=settings.listen, drain_seconds=settings.drain_seconds)
    async with (
        ProgressPublisher(nats_url=settings.nats_url, source="cluster") as publisher,
        serving_metrics(settings.metrics_listen, collectors=[PublisherMetrics(publisher)]),
    ):
        service = ClustererService(
            publisher,
            max_faces=settings.max_faces,
            max_concurrent_requests=settings.max_concurrent_requests,
            receive_timeout_seconds=settings.receive_timeout_seconds,
        )
        clusterer_pb2_grpc.add_ClustererServicer_to_server(service, server.server)
        await server.start([SERVICE_NAME])
        await server.serve_until_signalled()
        await service.close()


def main() -> None:
    """Entry point of the console script."""
    run_process("cluster", ClusterSettings, serve)
