"""Stand-ins for an InsightFace pack: tiny networks of the same inputs and outputs, whose faces are coloured patches.

The detector answers where a cell of its grid is magenta, the stronger the purer; how large a face is and how it is
turned depends on its colour. The recogniser's vectors depend on every part of an aligned face. Neither knows
real faces.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
_OPSET = 17
_IR_VERSION = 8
# Where landmarks lie in a face of width and height 1, from its centre: eyes, nose, corners of the mouth.
_POINTS = np.array([[-0.2, -0.18], [0.2, -0.18], [0.0, 0.02], [-0.16, 0.22], [0.16, 0.22]])


@dataclass(frozen=True, kw_only=True)
class DetectorShape:
    """How a detector's file describes its inputs and outputs."""

    batch: int | str = 1
    """Length of the batch axis: 1 as in published packs, another number, or a name where any length goes."""
    side_pixels: int | str = "?"
    """Height and width where the file fixes them."""

    @property
    def has_batch_axis(self) -> bool:
        """Whether outputs tell photos apart."""
        return self.batch != 1


class Graph:
    """Nodes and weights that become a model."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, values: Any, dtype: type = np.float32) -> str:
        """A constant by that name."""
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, operation: str, sources: list[str], output: str, **attributes: Any) -> str:
        """A node with one output, named so that ArcFaceONNX takes no node for a normalisation."""
        self.nodes.append(helper.make_node(operation, sources, [output], name=f"n_{output}", **attributes))
        return output

    def convolution(
        self, source: str, output: str, *, filters: NDArray[Any], bias: Any, stride: int, pad: int = 0
    ) -> str:
        """A convolution of filters [out, in, side, side]."""
        names = [source, self.weight(f"{output}.filters", filters), self.weight(f"{output}.bias", bias)]
        side = filters.shape[-1]
        return self.node("Conv", names, output, kernel_shape=[side, side], strides=[stride, stride], pads=[pad] * 4)

    def write(self, path: Path, inputs: list[Any], outputs: list[Any]) -> None:
        """Check the model and write it."""
        graph = helper.make_graph(self.nodes, "stand-in", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        onnx.checker.check_model(model)
        onnx.save(model, path)


Burden = Callable[[Graph, str], str]
"""Adds layers that compute something from the pictures of that name, and names it: [b, 1, 1, 1], almost nothing."""


def write_pack(directory: Path, *, detector: DetectorShape | None = None, recogniser_batch: int | str = "None") -> Path:
    """A pack of a detector and a recogniser, named as in buffalo_l, beside a network that is neither."""
    directory.mkdir(parents=True, exist_ok=True)
    write_landmark_network(directory / "1k3d68.onnx")
    write_detector(directory / "det_10g.onnx", detector or DetectorShape())
    write_recogniser(directory / "w600k_r50.onnx", batch=recogniser_batch)
    return directory


def write_detector(
    path: Path, shape: DetectorShape, *, kinds: Sequence[str] = ("score", "bbox", "kps"), burden: Burden | None = None
) -> None:
    """SCRFD's outputs: of each kind one for each of three strides, boxes and landmarks in strides."""
    graph = Graph()
    image = "input.1"
    outputs: dict[str, list[Any]] = {kind: [] for kind in kinds}
    for stride in STRIDES:
        colours = graph.convolution(
            image, f"colour{stride}", filters=_mean_of_cell(stride), bias=np.zeros(3), stride=stride
        )
        if burden is not None and stride == STRIDES[0]:
            colours = graph.node("Add", [colours, burden(graph, image)], "burdened")
        for kind in kinds:
            filters, bias = _answers(stride)[kind]
            flow = graph.convolution(colours, f"{kind}{stride}.map", filters=filters, bias=bias, stride=1)
            if kind == "score":
                flow = graph.node("Sigmoid", [flow], f"{kind}{stride}.sigmoid")
            outputs[kind].append(_as_rows(graph, flow, f"{kind}_{stride}", len(bias) // 2, shape))
    graph.write(
        path,
        [
            helper.make_tensor_value_info(
                image, TensorProto.FLOAT, [shape.batch, 3, shape.side_pixels, shape.side_pixels]
            )
        ],
        [one for kind in outputs.values() for one in kind],
    )


def write_recogniser(
    path: Path,
    *,
    batch: int | str = "None",
    side_pixels: int = 112,
    dimension: int = 512,
    burden: Burden | None = None,
) -> None:
    """[n, 3, side, side] → [n, dimension]; no two faces of different pixels have the same direction."""
    graph = Graph()
    random = np.random.default_rng(7)
    filters = random.normal(0, 0.12, (24, 3, 8, 8))
    flow = graph.convolution("input.1", "parts", filters=filters, bias=random.normal(0, 0.1, 24), stride=8)
    if burden is not None:
        flow = graph.node("Add", [flow, burden(graph, "input.1")], "burdened")
    flow = graph.node("Flatten", [graph.node("Tanh", [flow], "bent")], "flat")
    count = 24 * (side_pixels // 8) ** 2
    matrix = graph.weight("matrix", random.normal(0, count**-0.5, (count, dimension)))
    graph.node("MatMul", [flow, matrix], "683")
    graph.write(
        path,
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [batch, 3, side_pixels, side_pixels])],
        [helper.make_tensor_value_info("683", TensorProto.FLOAT, [batch, dimension])],
    )


def write_landmark_network(path: Path) -> None:
    """One of a pack's networks that are not for finding and knowing faces."""
    graph = Graph()
    graph.node("Flatten", ["data"], "fc1")
    graph.write(
        path,
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["None", 3, 192, 192])],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, ["None", 3 * 192 * 192])],
    )


def photo_with_faces(count: int, *, height: int = 720, width: int = 960, seed: int = 0) -> NDArray[np.uint8]:
    """A photo [height, width, 3] with so many faces that a stand-in finds at 640 pixels, none beside another."""
    random = np.random.default_rng(seed)
    photo = random.integers(40, 90, (height, width, 3)).astype(np.uint8)
    # Sizes below are those at detection.
    unit = max(height, width) / 640
    columns, rows = (int(side / (96 * unit)) for side in (width, height))
    if count > columns * rows:
        raise ValueError(f"{width} × {height} pixels have no room for {count} faces")
    for place in random.permutation(columns * rows)[:count]:
        centre = (np.array(divmod(int(place), columns)) + 0.5) * 96 * unit + random.uniform(-8, 8, 2) * unit
        for block in np.ndindex(4, 4):
            _paint(photo, centre + (np.array(block) - 2) * 16 * unit, 16 * unit, random.integers(0, 200, 3))
        _paint(photo, centre - 9 * unit, 18 * unit, random.integers([235, 0, 235], [256, 11, 256], 3))
    return photo


def _paint(photo: NDArray[np.uint8], corner: NDArray[Any], side: float, colour: NDArray[Any]) -> None:
    top, left = (round(float(value)) for value in corner)
    photo[top : top + round(side), left : left + round(side)] = colour


def _mean_of_cell(stride: int) -> NDArray[Any]:
    """Filters [3, 3, stride, stride] that keep red, green and blue apart."""
    filters: NDArray[Any] = np.eye(3)[:, :, None, None] * np.full((stride, stride), stride**-2.0)
    return filters


def _answers(stride: int) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """What follows from a cell's colour (each −1 to 1), for its two anchors: filters [out, 3, 1, 1] and bias [out].

    Only an almost pure magenta is a face, of about 64 pixels at every stride; boxes are wider and landmarks more turned
    as colours differ.
    """
    pixels = 1 / stride
    box = np.tile([[3.0, 2.0, 0.0], [0.0, 2.0, 3.0], [2.0, 0.0, 2.0], [2.0, 3.0, 2.0]], (2, 1)) * pixels
    box_bias = np.array([28.0, 30.0, 29.0, 31.0, 28.5, 30.5, 29.5, 31.5]) * pixels
    turns = np.stack([(_POINTS[:, ::-1] * [24, -24]).reshape(-1) * share for share in (1.0, 0.5, -1.0)], axis=1)
    return {
        "score": (np.tile([[9.0, -9.0, 9.0]], (2, 1))[:, :, None, None], np.array([-22.0, -22.4])),
        "bbox": (box[:, :, None, None], box_bias),
        "kps": (np.tile(turns, (2, 1))[:, :, None, None] * pixels, np.tile((_POINTS * 64).reshape(-1), 2) * pixels),
    }


def _as_rows(graph: Graph, flow: str, name: str, columns: int, shape: DetectorShape) -> Any:
    """A map [b, 2 · columns, h, w] as rows of places, anchors beside each other."""
    last = graph.node("Transpose", [flow], f"{name}.last", perm=[0, 2, 3, 1])
    lengths = [0, -1, columns] if shape.has_batch_axis else [-1, columns]
    graph.node("Reshape", [last, graph.weight(f"{name}.shape", lengths, np.int64)], name)
    described: list[int | str] = (
        [shape.batch, f"{name}.places", columns] if shape.has_batch_axis else [f"{name}.places", columns]
    )
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, described)
