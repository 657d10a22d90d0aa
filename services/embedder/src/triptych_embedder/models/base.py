"""What a backend of the embedder implements."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triptych_common.media import Resolution
from triptych_common.models import ModelInfo


class EmbeddingModel(ABC):
    """A loaded model. Its methods are called from one thread at a time."""

    info: ModelInfo
    """What it is, and the device on which it really runs."""
    resolution: Resolution
    """How far photos may be shrunk before they come to it."""
    micro_batch: int
    """Photos at once that suit it on its device: many enough to keep it busy, and few enough for an answer each second
    or two."""

    @abstractmethod
    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Vectors [n, dimension] of n ≥ 1 upright RGB photos [height, width, 3].

        Their length is one where the metric is cosine. May raise anything; its caller then tries each photo alone.
        """

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [n, dimension] of n ≥ 1 texts that compare with those of photos.

        Only called where ``info.has_text_tower``; a backend that says so overrides it.
        """
        raise NotImplementedError(f"{self.info.model_id} has no text tower")

    def warm_up(self) -> None:
        """Run once on a grey picture, so that the first photo does not pay for lazy initialisation."""
        self.embed_images([np.full((256, 256, 3), 128, np.uint8)])
