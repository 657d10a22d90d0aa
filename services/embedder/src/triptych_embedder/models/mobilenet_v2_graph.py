"""The MobileNetV2 feature network as an ONNX graph, made from torchvision's weights.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2; layer names as in
``torchvision.models.mobilenet_v2``. Batch normalisation is folded into the convolutions before it.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FEATURE_COUNT: Final = 1280
"""Channels of the last convolution, whose average over the picture is the feature vector."""

_BLOCKS: Final = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, output channels, repeats and first stride of each group of inverted residuals."""
_STEM_CHANNELS: Final = 32
_BATCH_NORM_EPSILON: Final = 1e-5
"""PyTorch's default, which torchvision keeps."""
_OPSET: Final = 17
_IR_VERSION: Final = 10


def mobilenet_v2_features(weights: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """A network from "pictures" (float32 [n, 3, height, width], normalised) to "features" (float32 [n, 1280]).

    ``weights`` is torchvision's state dict. Raises KeyError where a layer is missing and ValueError where one has
    another shape.
    """
    graph = _Graph(weights)
    flow = graph.convolution("pictures", "features.0", channels=_STEM_CHANNELS, kernel=3, stride=2)
    channels, index = _STEM_CHANNELS, 1
    for expansion, out_channels, repeats, first_stride in _BLOCKS:
        for repeat in range(repeats):
            flow = graph.inverted_residual(
                flow,
                f"features.{index}.conv",
                in_channels=channels,
                out_channels=out_channels,
                stride=first_stride if repeat == 0 else 1,
                expansion=expansion,
            )
            channels, index = out_channels, index + 1
    flow = graph.convolution(flow, f"features.{index}", channels=FEATURE_COUNT, kernel=1)
    return graph.finish(flow)


class _Graph:
    """An ONNX graph that grows from its input on; each method returns the name of its output."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers = [
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
            numpy_helper.from_array(np.array(6, np.float32), "six"),
        ]

    def inverted_residual(
        self, source: str, layer: str, *, in_channels: int, out_channels: int, stride: int, expansion: int
    ) -> str:
        """Expand, filter each channel, project; add the input where nothing but the values changes."""
        hidden = in_channels * expansion
        flow, step = source, 0
        if expansion != 1:
            flow = self.convolution(flow, f"{layer}.0", channels=hidden, kernel=1)
            step = 1
        flow = self.convolution(flow, f"{layer}.{step}", channels=hidden, kernel=3, stride=stride, groups=hidden)
        flow = self.folded(
            flow, f"{layer}.{step + 1}", f"{layer}.{step + 2}", channels=out_channels, kernel=1, stride=1, groups=1
        )
        if stride == 1 and in_channels == out_channels:
            flow = self._node("Add", [source, flow], f"{layer}.sum")
        return flow

    def convolution(
        self, source: str, layer: str, *, channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> str:
        """Convolution ``layer.0``, normalisation ``layer.1`` and ReLU6."""
        flow = self.folded(
            source, f"{layer}.0", f"{layer}.1", channels=channels, kernel=kernel, stride=stride, groups=groups
        )
        return self._node("Clip", [flow, "zero", "six"], f"{layer}.relu6")

    def folded(
        self, source: str, layer: str, norm: str, *, channels: int, kernel: int, stride: int, groups: int
    ) -> str:
        """A convolution without bias and the batch normalisation after it, as one convolution with bias."""
        filters = self._weights[f"{layer}.weight"].astype(np.float64)
        if filters.shape[0] != channels or filters.shape[2:] != (kernel, kernel):
            raise ValueError(f"{layer} has the shape {filters.shape}, not {channels} filters of {kernel} × {kernel}")
        gain, shift, mean, variance = (
            self._weights[f"{norm}.{name}"].astype(np.float64)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + _BATCH_NORM_EPSILON)
        self._initializers += [
            numpy_helper.from_array((filters * scale[:, None, None, None]).astype(np.float32), f"{layer}.filters"),
            numpy_helper.from_array((shift - mean * scale).astype(np.float32), f"{layer}.bias"),
        ]
        return self._node(
            "Conv",
            [source, f"{layer}.filters", f"{layer}.bias"],
            f"{layer}.folded",
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=groups,
        )

    def finish(self, source: str) -> onnx.ModelProto:
        """Average over the picture, and the whole as a checked model."""
        pooled = self._node("GlobalAveragePool", [source], "pooled")
        self._nodes.append(helper.make_node("Flatten", [pooled], ["features"]))
        graph = helper.make_graph(
            self._nodes,
            "mobilenet_v2_features",
            [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 3, "height", "width"])],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", FEATURE_COUNT])],
            self._initializers,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="triptych"
        )
        onnx.checker.check_model(model)
        return model

    def _node(self, operation: str, sources: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operation, sources, [output], **attributes))
        return output
