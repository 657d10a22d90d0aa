"""What is known of a model that runs, and its form on the wire."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import model_pb2

Metric = Literal["cosine", "euclidean"]
Precision = Literal["fp32", "fp16", "bf16"]
"""Numbers that a model computes with; what it gives is float32 all the same."""

_METRIC_TO_WIRE = {"cosine": model_pb2.METRIC_COSINE, "euclidean": model_pb2.METRIC_EUCLIDEAN}
_METRIC_FROM_WIRE: dict[int, Metric] = {
    model_pb2.METRIC_COSINE: "cosine",
    model_pb2.METRIC_EUCLIDEAN: "euclidean",
}


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model and how it is being run."""

    model_id: str
    """Stable identifier; vectors of different ids are never compared."""
    pack: str
    """The pack it belongs to, such as "bundled" or "production"."""
    display_name: str
    dimension: int
    """Length of its vectors."""
    metric: Metric
    """Cosine of unit vectors, or Euclidean distance of raw ones."""
    device: str
    """Such as "cpu" or "cuda:0"."""
    licence: str
    """Licence of the weights: an SPDX identifier or a name."""
    notice: str = ""
    """One sentence that must be shown with its results."""
    has_text_tower: bool = False
    precision: Precision = "fp32"
    capacity: int = 0
    """Requests that the service works on or keeps waiting at once; 0 where that is not known."""


class DeviceMemoryError(Exception):
    """The device has not enough memory for as many photos at once; fewer may fit."""


def model_to_wire(model: ModelInfo) -> model_pb2.ModelInfo:
    """The message for a model."""
    return model_pb2.ModelInfo(
        model_id=model.model_id,
        pack=model.pack,
        display_name=model.display_name,
        dimension=model.dimension,
        metric=_METRIC_TO_WIRE[model.metric],
        device=model.device,
        licence=model.licence,
        notice=model.notice,
        has_text_tower=model.has_text_tower,
        precision=model.precision,
        capacity=model.capacity,
    )


def model_from_wire(message: model_pb2.ModelInfo) -> ModelInfo:
    """The model of a message. Raises KeyError for a metric this version does not know."""
    return ModelInfo(
        model_id=message.model_id,
        pack=message.pack,
        display_name=message.display_name,
        dimension=message.dimension,
        metric=_METRIC_FROM_WIRE[message.metric],
        device=message.device,
        licence=message.licence,
        notice=message.notice,
        has_text_tower=message.has_text_tower,
        precision=_precision(message.precision),
        capacity=message.capacity,
    )


def _precision(name: str) -> Precision:
    # A service of an earlier version names none, and computes with fp32.
    return "fp16" if name == "fp16" else "bf16" if name == "bf16" else "fp32"


def vector_to_bytes(vector: NDArray[np.float32]) -> bytes:
    """A vector [d] or vectors [n, d] as little-endian float32 bytes."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def vectors_from_bytes(content: bytes, *, dimension: int) -> NDArray[np.float32]:
    """Vectors [n, dimension] out of little-endian float32 bytes. Raises ValueError where the length does not fit."""
    return np.frombuffer(content, dtype="<f4").reshape(-1, dimension).astype(np.float32, copy=False)
