"""What a backend of the face detector implements."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych_common.media import Resolution
from triptych_common.models.description import ModelInfo
from triptych_common.models.device_memory import DeviceMemory
from triptych_common.models.devices import Device
from triptych_common.models.nvidia import nvidia_memory


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """One face. Positions are shares of the upright photo's width and height; a face at its edge may reach outside."""

    x: float
    """Left edge."""
    y: float
    """Top edge."""
    width: float
    """> 0."""
    height: float
    """> 0."""
    landmarks: NDArray[np.float32]
    """[5, 2], each x and y; which points they are belongs to the model."""
    score: float
    """The detector's confidence; its range belongs to the model."""
    embedding: NDArray[np.float32]
    """[dimension]."""


@dataclass(frozen=True, kw_only=True)
class DetectionOptions:
    """What every backend can be told."""

    device: Device
    threads: int
    """Photos that are searched at once on a CPU."""
    min_score: float | None
    """Faces below it are not reported; its range belongs to the model, and so does what it is where nothing is set."""
    long_side_pixels: int | None
    """Photos are shrunk to this before they are searched; the model's own where nothing is set."""
    models_dir: Path
    """Where the weights are that were fetched."""


class FaceModel(ABC):
    """A loaded model. ``detect`` is called from ``lanes`` threads at a time."""

    info: ModelInfo
    """What it is, and the device on which it really runs."""
    resolution: Resolution
    """How far photos may be shrunk before they come to it."""
    micro_batch: int
    """Photos at once that suit it on its device: many enough to keep it busy, and few enough for an answer each second
    or two."""
    lanes: int = 1
    """Micro-batches that may be in it at once, so that none of its threads waits for the last photo of one."""

    @abstractmethod
    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """The faces of each of n ≥ 1 upright RGB photos [height, width, 3], strongest first.

        Raises DeviceMemoryError where fewer at once may fit; may raise anything else, and its caller then tries each
        photo alone.
        """

    @abstractmethod
    def warm_up(self) -> None:
        """Bring up every part of the model, so that the first photo does not pay for lazy initialisation."""

    @abstractmethod
    def rehearse(self, photos: int) -> None:
        """Run on so many blank photos at once, to see what memory they take. Raises what ``detect`` raises."""

    def accelerator_memory(self) -> DeviceMemory:
        """The memory of the device; only called where that is not a CPU."""
        return nvidia_memory(self.info.device)

    @abstractmethod
    def close(self) -> None:
        """Let go of threads; called once, after the last ``detect``."""
