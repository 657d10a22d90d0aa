"""What the processes that decode may take."""

from dataclasses import dataclass
from typing import Final, Self

from triptych_common.process_memory import machine_bytes
from triptych_common.settings import MediaSettings

_BASE_BYTES: Final = 256 * 2**20
"""The interpreter with its libraries, and what they take whatever a photo's size is."""
_BYTES_PER_PIXEL: Final = 32
"""More than the hungriest format takes while it is decoded; `make bench-decoders` measures each."""


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
    needed = _BASE_BYTES + settings.max_image_bytes + _BYTES_PER_PIXEL * settings.max_image_pixels
    return min(needed, machine_bytes() // 2)
