"""What a service that takes photos stands on once its model is loaded: the model's lifetime, a loader, and limits."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar

from triptych_common.logging import get_logger
from triptych_common.media import ImageLoader, MediaRoots, Resolution
from triptych_common.media.decoders.limits import DecoderLimits
from triptych_common.media.decoders.pool import Decoders
from triptych_common.media.decoders.process import COMMAND
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
    decoders: Decoders
    limits: BatchLimits


async def bring_up(
    settings: PhotoServiceSettings, load: Callable[[], ModelT], *, decoder_command: Sequence[str] = COMMAND
) -> PhotoCore[ModelT]:
    """Load the model as it is set up, and start what decodes. Raises ConfigurationError where the process cannot work
    so.
    """
    decoders = Decoders(DecoderLimits.of(settings, processes=settings.decode_threads), command=decoder_command)
    try:
        # They become ready while the model is loaded.
        await asyncio.to_thread(decoders.start)
        return await _bring_up(settings, load, decoders)
    except BaseException:
        await asyncio.to_thread(decoders.close)
        raise


async def _bring_up(
    settings: PhotoServiceSettings, load: Callable[[], ModelT], decoders: Decoders
) -> PhotoCore[ModelT]:
    lifetime = ModelLifetime(load, unload_idle_seconds=settings.unload_idle_seconds)
    model = await lifetime.load_first()
    await asyncio.to_thread(decoders.until_ready)
    ceiling = MemoryCeiling(settings.memory_ceiling_bytes, beside=decoders.memory_bytes)
    ceiling.require_room(settings.decoded_bytes)
    info = replace(model.info, capacity=settings.max_concurrent_requests)
    log.info("model loaded", model_id=info.model_id, device=info.device, precision=info.precision, notice=info.notice)
    loader = ImageLoader(
        roots=MediaRoots(settings.media_roots, settings.store_access),
        decode=decoders.decode,
        resolution=model.resolution,
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
    )
    limits = BatchLimits.of(
        settings, micro_batch=await asyncio.to_thread(_micro_batch, model, settings), lanes=model.lanes
    )
    return PhotoCore(model=lifetime, info=info, loader=loader, decoders=decoders, limits=limits)


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
