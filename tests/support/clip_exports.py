"""Exports of CLIP models that are small enough to write down: what a picture's colour and a text's tokens come to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from triptych_embedder.models.clip_export_format import (
    IMAGE_INPUT,
    IMAGE_NAME,
    OUTPUT,
    TEXT_INPUT,
    TEXT_NAME,
    ClipTokenizerPart,
    ExportDescription,
    PreprocessingPart,
    describe_file,
    write_description,
    write_merges,
)

MERGES = (("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>"))
SIDE_PIXELS = 16
CONTEXT_LENGTH = 8
DIMENSION = 4


def write_export(
    directory: Path, *, model_id: str = "clip:tiny/one", dimension: int = DIMENSION, has_text: bool = True
) -> Path:
    """A whole export: three numbers of a picture's mean colour, or of a text's tokens, and ones."""
    directory.mkdir(parents=True)
    _save(_image_network(dimension), directory / IMAGE_NAME)
    if has_text:
        _save(_text_network(dimension), directory / TEXT_NAME)
        write_merges(directory, dict.fromkeys(MERGES))
    describe(directory, model_id=model_id)
    return directory


def describe(directory: Path, *, model_id: str = "clip:tiny/one", dimension: int = DIMENSION) -> None:
    """Write model.json about the files as they are."""
    has_text = (directory / TEXT_NAME).exists()
    paths = sorted(path for path in directory.iterdir() if path.name != "model.json")
    description = ExportDescription(
        model_id=model_id,
        display_name="CLIP tiny",
        licence="MIT",
        dimension=dimension,
        preprocessing=PreprocessingPart(
            height=SIDE_PIXELS,
            width=SIDE_PIXELS,
            mean=(0.5, 0.5, 0.5),
            deviation=(0.5, 0.5, 0.5),
            interpolation="bicubic",
            resize_mode="shortest",
            fill=0,
        ),
        tokenizer=ClipTokenizerPart(context_length=CONTEXT_LENGTH, cleaning="lower") if has_text else None,
        files={path.name: describe_file(path) for path in paths},
        checked_cosine={},
        made_with={},
    )
    write_description(directory, description)


def _image_network(dimension: int) -> onnx.ModelProto:
    return _network(
        [
            helper.make_node("GlobalAveragePool", [IMAGE_INPUT], ["means"]),
            helper.make_node("Flatten", ["means"], ["colours"]),
            helper.make_node("Gemm", ["colours", "weights", "ones"], [OUTPUT]),
        ],
        helper.make_tensor_value_info(IMAGE_INPUT, TensorProto.FLOAT, ["n", 3, SIDE_PIXELS, SIDE_PIXELS]),
        rows=3,
        dimension=dimension,
    )


def _text_network(dimension: int) -> onnx.ModelProto:
    return _network(
        [
            helper.make_node("Cast", [TEXT_INPUT], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Gemm", ["numbers", "weights", "ones"], [OUTPUT]),
        ],
        helper.make_tensor_value_info(TEXT_INPUT, TensorProto.INT64, ["n", CONTEXT_LENGTH]),
        rows=CONTEXT_LENGTH,
        dimension=dimension,
    )


def _network(nodes: Sequence[Any], source: Any, *, rows: int, dimension: int) -> onnx.ModelProto:
    weights = np.random.default_rng(rows).normal(size=(rows, dimension)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [source],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", dimension])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.full(dimension, 0.1, np.float32), "ones"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def _save(network: onnx.ModelProto, path: Path) -> None:
    onnx.checker.check_model(network)
    path.write_bytes(network.SerializeToString())
