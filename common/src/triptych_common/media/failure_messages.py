"""The messages for failures of photos, and the names of their codes."""

from typing import TypeAlias

from triptych.v1 import image_pb2
from triptych_common.media.failures import ImageFailure

_WireCode: TypeAlias = "image_pb2.ImageErrorCode.ValueType"

_TO_WIRE: dict[str, _WireCode] = {
    "not_found": image_pb2.IMAGE_ERROR_CODE_NOT_FOUND,
    "permission_denied": image_pb2.IMAGE_ERROR_CODE_PERMISSION_DENIED,
    "path_not_allowed": image_pb2.IMAGE_ERROR_CODE_PATH_NOT_ALLOWED,
    "symlink_loop": image_pb2.IMAGE_ERROR_CODE_SYMLINK_LOOP,
    "empty_file": image_pb2.IMAGE_ERROR_CODE_EMPTY_FILE,
    "unsupported_format": image_pb2.IMAGE_ERROR_CODE_UNSUPPORTED_FORMAT,
    "corrupt": image_pb2.IMAGE_ERROR_CODE_CORRUPT,
    "too_large": image_pb2.IMAGE_ERROR_CODE_TOO_LARGE,
    "read_failed": image_pb2.IMAGE_ERROR_CODE_READ_FAILED,
    "model_failed": image_pb2.IMAGE_ERROR_CODE_MODEL_FAILED,
    "worker_lost": image_pb2.IMAGE_ERROR_CODE_WORKER_LOST,
    "decoder_crashed": image_pb2.IMAGE_ERROR_CODE_DECODER_CRASHED,
    "decoder_timed_out": image_pb2.IMAGE_ERROR_CODE_DECODER_TIMED_OUT,
}
_FROM_WIRE: dict[int, str] = {wire: name for name, wire in _TO_WIRE.items()}


def failure_to_wire(failure: ImageFailure) -> image_pb2.ImageError:
    """The message for a failure."""
    return image_pb2.ImageError(code=_TO_WIRE[failure.code], message=failure.message, permanent=failure.permanent)


def failure_code_from_wire(code: int) -> str:
    """The name of a failure's code; "read_failed" for one that this version does not know."""
    return _FROM_WIRE.get(code, "read_failed")
