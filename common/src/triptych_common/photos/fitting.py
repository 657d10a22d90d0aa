"""How many photos at once fit into the memory that a model's device has free."""

from typing import Final, Protocol

from triptych_common.logging import get_logger
from triptych_common.models.description import DeviceMemoryError
from triptych_common.models.device_memory import DeviceMemory

log = get_logger(__name__)

_USABLE_SHARE: Final = 0.8
"""Of what is free before the first photo: the rest is for what no rehearsal shows, such as a photo with many faces."""


class RehearsedModel(Protocol):
    """What is asked of a model here; the services' ``models/base.py`` tell what each means."""

    micro_batch: int
    lanes: int

    def rehearse(self, photos: int) -> None:
        """Run on so many blank photos at once. Raises DeviceMemoryError where they do not fit."""


def fitting_micro_batch(model: RehearsedModel, memory: DeviceMemory) -> int:
    """The model's own micro-batch, or the largest power of two below it that fits into the memory in every lane, ≥ 1.

    The model computes on one blank photo, and then on as many as can be expected to fit: its own micro-batch, or twice
    as many as before. (n times as many photos take at most n times the memory.) What is chosen has been computed.
    Where the device does not tell what it has free, it is the model's own: what does not fit is found out by photos.
    """
    try:
        free = memory.free_bytes()
        size = _largest(model, memory, free_bytes=free)
    except OSError as error:
        log.warning("what memory is free cannot be seen; the micro-batch is the model's own", error=str(error))
        return model.micro_batch
    if size < model.micro_batch:
        log.info("smaller micro-batches, for want of memory", photos=size, own=model.micro_batch, free_bytes=free)
    return size


def _largest(model: RehearsedModel, memory: DeviceMemory, *, free_bytes: int) -> int:
    usable = _USABLE_SHARE * free_bytes / model.lanes
    fits, photos = 0, 1
    while photos:
        taken = free_bytes - _least_free(model, memory, photos)
        if taken >= usable:
            break
        fits, photos = photos, _next(photos, taken=taken, usable=usable, own=model.micro_batch)
    return max(fits, 1)


def _least_free(model: RehearsedModel, memory: DeviceMemory, photos: int) -> int:
    """What is free while the model computes on so many photos; 0 where they do not fit at all."""
    try:
        return memory.least_free_bytes(lambda: model.rehearse(photos))
    except DeviceMemoryError:
        return 0


def _next(photos: int, *, taken: int, usable: float, own: int) -> int:
    """How many to try after so many took so much; 0 for no more."""
    if photos == own:
        return 0
    if taken * own <= usable * photos:
        return own
    return 2 * photos if 2 * photos < own and 2 * taken <= usable else 0
