"""Networks of which one input's first axis counts pictures: as many at once as the file allows."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_common.models.onnx_session import OnnxSession, run_session


class BatchedNetwork:
    """A session with one input [n, channels, height, width]. Thread-safe."""

    def __init__(self, opened: OnnxSession, *, most_at_once: int) -> None:
        self._session = opened.session
        (self._input,) = opened.session.get_inputs()
        self.output_names: Final = [one.name for one in opened.session.get_outputs()]
        axis = self._input.shape[0]
        self.fixed: Final[int | None] = axis if isinstance(axis, int) else None
        """Length of the batch axis where the file fixes it."""
        self._at_once = self.fixed or most_at_once

    def run(self, pictures: NDArray[np.float32]) -> list[list[NDArray[Any]]]:
        """All outputs of each call that n ≥ 1 pictures take; a call is told by ``slices``.

        Where the batch axis is fixed and there are fewer pictures, black ones fill it. Raises DeviceMemoryError.
        """
        return [
            run_session(self._session, {self._input.name: self._filled(pictures[part])}, self.output_names)
            for part in self.slices(len(pictures))
        ]

    def slices(self, count: int) -> Sequence[slice]:
        """Which pictures go through the network together."""
        starts = range(0, count, self._at_once)
        return [slice(start, min(start + self._at_once, count)) for start in starts]

    def _filled(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        missing = (self.fixed or 0) - len(pictures)
        if missing <= 0:
            return pictures
        return np.concatenate([pictures, np.zeros((missing, *pictures.shape[1:]), np.float32)])
