"""The process of a service that takes photos: served at once, ready when its model is loaded, closed in order."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from triptych_common.media.decoders.metrics import DecoderMetrics
from triptych_common.metrics import serving_metrics
from triptych_common.photos.batches import PhotoBatches
from triptych_common.photos.metrics import PhotoMetrics
from triptych_common.progress.metrics import PublisherMetrics
from triptych_common.progress.publisher import ProgressPublisher
from triptych_common.rpc.server import GrpcServer
from triptych_common.settings import PhotoServiceSettings


class Core(Protocol):
    """What works through photos with the service's model."""

    batches: PhotoBatches[Any, Any]

    async def close(self) -> None:
        """Let the micro-batch in the model end, and let go of the model."""


CoreT = TypeVar("CoreT", bound=Core)


class PhotoService(Protocol[CoreT]):
    """A gRPC service that answers UNAVAILABLE (MODEL_LOADING) until it has its core."""

    core: CoreT | None


async def serve_photo_service(
    settings: PhotoServiceSettings,
    *,
    listen: str,
    source: str,
    service_name: str,
    add: Callable[[ProgressPublisher, Any], PhotoService[CoreT]],
    load: Callable[[], Awaitable[CoreT]],
) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError where the process cannot start as it is set up.

    ``add`` makes the service and adds it to a gRPC server; ``load`` makes its core once the server answers.
    """
    server = GrpcServer(listen=listen, drain_seconds=settings.drain_seconds, token=settings.shared_token)
    async with ProgressPublisher(nats_url=settings.nats_url, source=source) as publisher:
        service = add(publisher, server.server)
        metrics = PhotoMetrics(lambda: service.core.batches if service.core is not None else None)
        decoders = DecoderMetrics(lambda: service.core.batches.decoders if service.core is not None else None)
        collectors = [PublisherMetrics(publisher), metrics, decoders]
        async with serving_metrics(settings.metrics_listen, collectors=collectors):
            await server.start([service_name], serving=False)
            try:
                service.core = core = await load()
            except BaseException:
                await server.server.stop(0)
                raise
            await server.set_serving(serving=True)
            try:
                await server.serve_until_signalled()
            finally:
                await core.close()
