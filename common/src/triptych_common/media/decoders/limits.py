"""What the processes that decode may take."""

from dataclasses import dataclass
from typing import Self

from triptych_common.media.decoders.needed_memory import needed_bytes
from triptych_common.process_memory import machine_bytes
from triptych_common.settings import MediaSettings


@dataclass(frozen=True, kw_only=True)
class DecoderLimits:
    """What the processes that decode may take."""

    processes: int
    """As many as photos are decoded at once, ≥ 1."""
    seconds: float
    """For one photo; a decoder that takes longer is ended."""
    memory_bytes: int
    """That one process may allocate."""
    max_pixels: int
    """Largest picture that is decoded."""

    @classmethod
    def of(cls, settings: MediaSettings, *, processes: int) -> Self:
        """The limits that are set; the memory, where it is not set, by what the largest picture needs."""
        return cls(
            processes=processes,
            seconds=settings.decode_seconds,
            memory_bytes=settings.decoder_memory_bytes or _memory_bytes(settings),
            max_pixels=settings.max_image_pixels,
        )


def _memory_bytes(settings: MediaSettings) -> int:
    needed = needed_bytes(pixels=settings.max_image_pixels, content_bytes=settings.max_image_bytes)
    return min(needed, machine_bytes() // 2)
