"""Features as unit vectors, for models whose metric is cosine."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unit_vectors(features: NDArray[Any]) -> NDArray[np.float32]:
    """Features [n, d] scaled to length one. Raises ValueError where a row is not finite, or all zero."""
    values = features.astype(np.float32, copy=False)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ValueError("the network gave features that are not finite or all zero")
    unit: NDArray[np.float32] = values / lengths
    return unit
