"""The embedder's process: its settings, and how its parts are put together."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from triptych.v1 import embedder_pb2_grpc
from triptych_common.media.decoders.process import COMMAND
from triptych_common.models.devices import Device
from triptych_common.photos.core import bring_up
from triptych_common.photos.serving import serve_photo_service
from triptych_common.process import run_process
from triptych_common.progress.publisher import ProgressPublisher
from triptych_common.settings import PhotoServiceSettings
from triptych_embedder.embedding import Embedding
from triptych_embedder.models.base import EmbeddingModel, EmbeddingOptions
from triptych_embedder.models.precision import WantedPrecision
from triptych_embedder.models.registry import load_model
from triptych_embedder.service import SERVICE_NAME, EmbedderService

Load: TypeAlias = Callable[[str, EmbeddingOptions], EmbeddingModel]
"""Loads and warms up a model by its name."""


class EmbedderSettings(PhotoServiceSettings):
    """Settings of the embedder."""

    listen: str = "127.0.0.1:50051"
    """Address that the service listens on, host:port."""
    precision: WantedPrecision = "auto"
    """Numbers that the model computes with: `fp32`, `fp16` or `bf16`, which refuse to start where the device or the
    backend has not got them, or `auto`, which is fp16 for open_clip on a GPU and fp32 everywhere else."""
    compile_model: bool = False
    """Let PyTorch compile an open_clip network, which takes a minute or more at each start and then runs faster."""


async def serve(
    settings: EmbedderSettings, *, load: Load = load_model, decoder_command: Sequence[str] = COMMAND
) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError where the process cannot start as it is set up.

    ``decoder_command`` starts each process that decodes photos.
    """

    def add(publisher: ProgressPublisher, server: Any) -> EmbedderService:
        service = EmbedderService(publisher)
        embedder_pb2_grpc.add_EmbedderServicer_to_server(service, server)
        return service

    await serve_photo_service(
        settings,
        listen=settings.listen,
        source="embedder",
        service_name=SERVICE_NAME,
        add=add,
        load=lambda: _embedding(settings, load, decoder_command),
    )


async def _embedding(settings: EmbedderSettings, load: Load, decoder_command: Sequence[str]) -> Embedding:
    options = EmbeddingOptions(
        device=Device.parse(settings.device),
        threads=settings.inference_threads,
        models_dir=settings.models_dir,
        precision=settings.precision,
        compile_model=settings.compile_model,
    )
    core = await bring_up(settings, lambda: load(settings.model, options), decoder_command=decoder_command)
    return Embedding(model=core.model, info=core.info, loader=core.loader, limits=core.limits, decoders=core.decoders)


def main() -> None:
    """Entry point of the console script."""
    run_process("embedder", EmbedderSettings, serve)
