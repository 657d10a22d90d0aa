"""The command triptych-embedder-models: what is done with weights outside of the service."""

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from triptych_common.errors import EXIT_BAD_CONFIGURATION, ConfigurationError
from triptych_embedder.models.clip_export_format import read_description
from triptych_embedder.models.clip_extra import import_clip_module
from triptych_embedder.models.clip_weights import ClipWeights, default_clip, find_weights


def main() -> NoReturn:
    """Entry point of the console script; exit status 78 with one sentence where it cannot be done."""
    arguments = _parser().parse_args()
    # So that what was written aside is removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        _export(arguments)
    except ConfigurationError as error:
        sys.stderr.write(f"triptych-embedder-models: {error}\n")
        sys.exit(EXIT_BAD_CONFIGURATION)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="triptych-embedder-models", description="Weights of the embedder.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    export = commands.add_parser("export", help="Turn a CLIP model into ONNX, and check it against PyTorch")
    export.add_argument(
        "--model",
        required=True,
        metavar="NAME/TAG",
        help=f"Weights in the model store (such as {default_clip()}), or local-dir:/path; NAME alone with --checkpoint",
    )
    export.add_argument("--models-dir", required=True, type=Path, help="Directory of the model store")
    export.add_argument("--checkpoint", type=Path, help="A checkpoint outside of the model store")
    export.add_argument(
        "--photo", action="append", default=[], type=Path, help="A photo to compare on as well; may be repeated"
    )
    export.add_argument("--force", action="store_true", help="Export anew what is exported already")
    return parser


def _export(arguments: argparse.Namespace) -> None:
    name = arguments.model if arguments.checkpoint is None else f"{arguments.model}@{arguments.checkpoint}"
    weights = find_weights(name, arguments.models_dir)
    target = arguments.models_dir / "onnx" / weights.stored_as
    backend_name = weights.stored_as.replace("__", "/", 1)
    if not arguments.force and _is_whole(target, weights):
        _say(f"{weights.model_id} is exported already; TRIPTYCH_MODEL=onnx:{backend_name} serves it.")
        return
    began = time.monotonic()

    def report(step: str) -> None:
        _say(f"{time.monotonic() - began:6.1f} s  {step}")

    description = import_clip_module("clip_export").export_clip(weights, target, photos=arguments.photo, report=report)
    cosines = ", ".join(f"{name} {cosine:.6f}" for name, cosine in description.checked_cosine.items())
    report(f"done: {target} (cosine to PyTorch: {cosines})")
    _say(f"TRIPTYCH_MODEL=onnx:{backend_name} serves it.")


def _is_whole(target: Path, weights: ClipWeights) -> bool:
    try:
        return read_description(target).model_id == weights.model_id
    except ConfigurationError:
        return False


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
