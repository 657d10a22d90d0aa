"""What a service that takes photos stands on once its model is loaded: the model's lifetime, a loader, and limits."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar

from triptych_common.logging import get_logger
from triptych_common.media import ImageLoader, MediaRoots, Resolution
from triptych_common.models.description import ModelInfo
from triptych_common.models.device_memory import DeviceMemory, HostMemory
from triptych_common.models.lifetime import LoadedModel, ModelLifetime
from triptych_common.photos.batches import BatchLimits
from triptych_common.photos.fitting import RehearsedModel, fitting_micro_batch
from triptych_common.process_memory import MemoryCeiling
from triptych_common.settings import PhotoServiceSettings

log = get_logger(__name__)

_PLENTY_PER_PHOTO_BYTES: Final = 256 * 2**20
"""More than a photo takes in a network: where a CPU has so much for each, nothing is rehearsed, which takes seconds."""


class PhotoModel(LoadedModel, RehearsedModel, Protocol):
    """What every backend says of itself; the services' ``models/base.py`` tell what each means."""

    info: ModelInfo
    resolution: Resolution

    def accelerator_memory(self) -> DeviceMemory:
        """The memory of the device; only called where that is not a CPU."""


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
        roots=MediaRoots(settings.media_roots, settings.store_access),
        resolution=model.resolution,
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
    )
    limits = BatchLimits.of(
        settings, micro_batch=await asyncio.to_thread(_micro_batch, model, settings), lanes=model.lanes
    )
    return PhotoCore(model=lifetime, info=info, loader=loader, limits=limits)


def _micro_batch(model: PhotoModel, settings: PhotoServiceSettings) -> int:
    """As it is set, or as many as suit the model and fit into its device's memory."""
    if settings.micro_batch is not None:
        return settings.micro_batch
    if model.info.device != "cpu":
        return fitting_micro_batch(model, model.accelerator_memory())
    memory = HostMemory(settings.memory_ceiling_bytes)
    if memory.has_free(model.micro_batch * model.lanes * _PLENTY_PER_PHOTO_BYTES):
        return model.micro_batch
    return fitting_micro_batch(model, memory)
