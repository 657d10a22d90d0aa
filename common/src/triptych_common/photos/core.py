"""What a service that takes photos stands on once its model is loaded: the model's lifetime, a loader, and limits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from triptych_common.logging import get_logger
from triptych_common.media import ImageLoader, MediaRoots, Resolution
from triptych_common.models.description import ModelInfo
from triptych_common.models.lifetime import LoadedModel, ModelLifetime
from triptych_common.photos.batches import BatchLimits
from triptych_common.process_memory import MemoryCeiling
from triptych_common.settings import PhotoServiceSettings

log = get_logger(__name__)


class PhotoModel(LoadedModel, Protocol):
    """What every backend says of itself; the services' ``models/base.py`` tell what each means."""

    info: ModelInfo
    resolution: Resolution
    micro_batch: int
    lanes: int


ModelT = TypeVar("ModelT", bound=PhotoModel)


@dataclass(frozen=True, kw_only=True)
class PhotoCore(Generic[ModelT]):
    """A model that has been loaded once, and what feeds it."""

    model: ModelLifetime[ModelT]
    info: ModelInfo
    """The model, with the service's capacity."""
    loader: ImageLoader
    limits: BatchLimits


async def bring_up(settings: PhotoServiceSettings, load: Callable[[], ModelT]) -> PhotoCore[ModelT]:
    """Load the model as it is set up. Raises ConfigurationError where the process cannot work so."""
    lifetime = ModelLifetime(load, unload_idle_seconds=settings.unload_idle_seconds)
    model = await lifetime.load_first()
    MemoryCeiling(settings.memory_ceiling_bytes).require_room(settings.decoded_bytes)
    info = replace(model.info, capacity=settings.max_concurrent_requests)
    log.info("model loaded", model_id=info.model_id, device=info.device, precision=info.precision, notice=info.notice)
    loader = ImageLoader(
        roots=MediaRoots(settings.media_roots),
        resolution=model.resolution,
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
    )
    limits = BatchLimits.of(settings, micro_batch=model.micro_batch, lanes=model.lanes)
    return PhotoCore(model=lifetime, info=info, loader=loader, limits=limits)
