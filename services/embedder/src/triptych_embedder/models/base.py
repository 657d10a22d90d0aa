"""What a backend of the embedder implements."""

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
from triptych_embedder.models.precision import WantedPrecision


@dataclass(frozen=True, kw_only=True)
class EmbeddingOptions:
    """What every backend can be told."""

    device: Device
    threads: int
    """Threads to compute with on a CPU, ≥ 1."""
    models_dir: Path
    """Where the weights are that were fetched."""
    precision: WantedPrecision = "auto"
    """Numbers to compute with."""
    compile_model: bool = False
    """Let PyTorch compile the network, where it is PyTorch that runs it."""


class EmbeddingModel(ABC):
    """A loaded model. Its methods are called from ``lanes`` threads at a time."""

    info: ModelInfo
    """What it is, and the device on which it really runs."""
    resolution: Resolution
    """How far photos may be shrunk before they come to it."""
    micro_batch: int
    """Photos at once that suit it on its device: many enough to keep it busy, and few enough for an answer each second
    or two."""
    lanes: int = 1
    """Micro-batches that may be in it at once, so that one is prepared while another is computed."""

    @abstractmethod
    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Vectors [n, dimension] of n ≥ 1 upright RGB photos [height, width, 3].

        Their length is one where the metric is cosine. Raises DeviceMemoryError where fewer at once may fit; may raise
        anything else, and its caller then tries each photo alone.
        """

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [n, dimension] of n ≥ 1 texts that compare with those of photos.

        Only called where ``info.has_text_tower``; a backend that says so overrides it.
        """
        raise NotImplementedError(f"{self.info.model_id} has no text tower")

    def close(self) -> None:  # noqa: B027 - most have nothing but memory, which goes with them
        """Let go of threads and of what the device holds; called once, after the last call of any other method."""

    def warm_up(self) -> None:
        """Run once on a grey picture, so that the first photo does not pay for lazy initialisation."""
        self.rehearse(1)

    def rehearse(self, photos: int) -> None:
        """Run on so many grey pictures at once, to see what memory they take. Raises what ``embed_images`` raises."""
        self.embed_images([np.full((256, 256, 3), 128, np.uint8)] * photos)

    def accelerator_memory(self) -> DeviceMemory:
        """The memory of the device; only called where that is not a CPU."""
        return nvidia_memory(self.info.device)
