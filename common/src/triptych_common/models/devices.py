"""Where a model is asked to run."""

from dataclasses import dataclass
from typing import Final, Literal, Self

DeviceKind = Literal["auto", "cpu", "cuda", "tensorrt"]
_KINDS: Final[dict[str, DeviceKind]] = {"auto": "auto", "cpu": "cpu", "cuda": "cuda", "tensorrt": "tensorrt"}
_ACCELERATORS: Final = ("cuda", "tensorrt")


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that was asked for; "auto" takes an accelerator if there is one, all others are had or refused."""

    kind: DeviceKind
    index: int = 0
    """Which of several accelerators, from 0."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt`` or ``tensorrt:1``. Raises ValueError."""
        name, colon, index = text.partition(":")
        kind = _KINDS.get(name)
        if kind is None or (colon and (kind not in _ACCELERATORS or not (index.isascii() and index.isdecimal()))):
            raise ValueError(f"{text!r} is no device: set auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N")
        return cls(kind=kind, index=int(index or 0))

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.kind in _ACCELERATORS else self.kind


AUTO: Final = Device(kind="auto")
CPU: Final = Device(kind="cpu")
