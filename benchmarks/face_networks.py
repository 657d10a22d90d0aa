"""A stand-in pack that costs what buffalo_l costs: layers of SCRFD-10GF's backbone and of ArcFace r50, untrained.

What they compute is added to the answers of the tests' stand-ins with almost no weight, so that faces are still found
where photos have coloured patches. Multiply-adds are counted as InsightFace counts: 11 G at 640 × 640 pixels (backbone
and stem; neck and heads would add 2), 6.3 G for a face.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper

from tests.support.insightface_pack import DetectorShape, Graph, write_detector, write_recogniser

_ALMOST_NOTHING: Final = 1e-6
_SCRFD_STAGES: Final = ((56, 3, 1), (88, 4, 2), (88, 2, 2), (224, 3, 2))
"""Channels, blocks and stride of the first block."""
_R50_STAGES: Final = ((64, 3, 2), (128, 4, 2), (256, 14, 2), (512, 3, 2))
_R50_FEATURES: Final = 512 * 7 * 7
_DIMENSION: Final = 512


def write_costly_pack(directory: Path) -> Path:
    """A pack of two networks in files as large and as costly as those of buffalo_l."""
    directory.mkdir(parents=True, exist_ok=True)
    write_detector(directory / "det_10g.onnx", DetectorShape(), burden=_scrfd)
    write_recogniser(
        directory / "w600k_r50.onnx", burden=lambda graph, image: _almost_nothing(graph, _r50(graph, image))
    )
    return directory


class _Layers:
    """Layers one after another, each with random weights that keep the size of what flows."""

    def __init__(self, graph: Graph, source: str, channels: int) -> None:
        self._graph = graph
        self._random = np.random.default_rng(1)
        self._count = 0
        self.flow = source
        self.channels = channels

    def convolve(self, channels: int, *, side: int = 3, stride: int = 1) -> None:
        """A convolution that takes its normalisation in."""
        scale = (2 / (self.channels * side * side)) ** 0.5
        filters = self._random.normal(0, scale, (channels, self.channels, side, side))
        bias = np.zeros(channels)
        self.flow = self._graph.convolution(
            self.flow, self._name("conv"), filters=filters, bias=bias, stride=stride, pad=side // 2
        )
        self.channels = channels

    def apply(self, operation: str, *more: str, **attributes: Any) -> None:
        """A node without weights."""
        self.flow = self._graph.node(operation, [self.flow, *more], self._name(operation), **attributes)

    def bend(self, operation: str) -> None:
        """Relu, or PRelu with a slope for each channel."""
        slopes = np.full((self.channels, 1, 1), 0.25)
        self.apply(operation, *([self._graph.weight(self._name("slope"), slopes)] if operation == "PRelu" else []))

    def block(self, channels: int, stride: int, *, activation: str, stride_first: bool) -> None:
        """Two convolutions beside a shortcut."""
        source, source_channels = self.flow, self.channels
        self.convolve(channels, stride=stride if stride_first else 1)
        self.bend(activation)
        self.convolve(channels, stride=1 if stride_first else stride)
        inner = self.flow
        self.flow, self.channels = source, source_channels
        if stride != 1 or source_channels != channels:
            self.convolve(channels, side=1, stride=stride)
        self.apply("Add", inner)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind.lower()}_{self._count}"


def _scrfd(graph: Graph, image: str) -> str:
    layers = _Layers(graph, image, 3)
    for channels, stride in ((28, 2), (28, 1), (56, 1)):
        layers.convolve(channels, stride=stride)
        layers.bend("Relu")
    layers.apply("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for channels, blocks, stride in _SCRFD_STAGES:
        for number in range(blocks):
            layers.block(channels, 1 if number else stride, activation="Relu", stride_first=True)
            layers.bend("Relu")
    return _almost_nothing(graph, layers)


def write_deep_recogniser(path: Path) -> None:
    """ArcFace r50's layers, untrained, whose own numbers are the answer: for how exact deep networks are."""
    graph = Graph()
    graph.node("Flatten", [_r50(graph, "input.1").flow], "683")
    graph.write(
        path,
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["None", 3, 112, 112])],
        [helper.make_tensor_value_info("683", TensorProto.FLOAT, ["None", _DIMENSION])],
    )


def _r50(graph: Graph, image: str) -> _Layers:
    layers = _Layers(graph, image, 3)
    layers.convolve(64)
    layers.bend("PRelu")
    for channels, blocks, stride in _R50_STAGES:
        for number in range(blocks):
            layers.block(channels, 1 if number else stride, activation="PRelu", stride_first=False)
    random = np.random.default_rng(2)
    layers.apply("Flatten")
    layers.apply("MatMul", graph.weight("fully", random.normal(0, _R50_FEATURES**-0.5, (_R50_FEATURES, _DIMENSION))))
    layers.apply("Reshape", graph.weight("as_picture", [-1, _DIMENSION, 1, 1], np.int64))
    return layers


def _almost_nothing(graph: Graph, layers: _Layers) -> str:
    layers.apply("Tanh")
    layers.apply("GlobalAveragePool")
    layers.apply("ReduceMean", axes=[1], keepdims=1)
    layers.apply("Mul", graph.weight("almost_nothing", _ALMOST_NOTHING))
    return layers.flow
