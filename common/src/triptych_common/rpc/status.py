"""Errors as gRPC statuses with google.rpc details, and back."""

from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from triptych_common.errors import ServiceError

DOMAIN = "triptych"


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def to_status(error: ServiceError) -> grpc.Status:
    """The error as a gRPC status with ErrorInfo and, where it says when to retry, RetryInfo."""
    details = [_packed(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))]
    if error.retry_after_seconds is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_seconds * 1e9))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    status = status_pb2.Status(code=grpc.StatusCode[error.code].value[0], message=error.message, details=details)
    converted: grpc.Status = rpc_status.to_status(status)
    return converted


@dataclass(frozen=True, kw_only=True)
class RemoteError:
    """What a failed call told its caller."""

    code: grpc.StatusCode
    message: str
    reason: str
    """The service's own word, or the code's name where the error did not come from a Triptych service."""
    retry_after_seconds: float | None


_LOST_LOCALLY: Final = "Internal error from Core"
"""What grpc's own client says, with the code INTERNAL, where the connection broke before the call had begun to be sent:
no server has said anything."""


def read_error(error: grpc.aio.AioRpcError) -> RemoteError:
    """Read code, reason and retry delay out of a failed call's status."""
    reason, retry_after_seconds = error.code().name, None
    trailing = dict(error.trailing_metadata() or ())
    packed = trailing.get("grpc-status-details-bin")
    if isinstance(packed, bytes):
        for detail in status_pb2.Status.FromString(packed).details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                reason = info.reason
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry = error_details_pb2.RetryInfo()
                detail.Unpack(retry)
                retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
    code = error.code()
    if code is grpc.StatusCode.INTERNAL and error.details() == _LOST_LOCALLY:
        code = grpc.StatusCode.UNAVAILABLE
    return RemoteError(
        code=code, message=error.details() or reason, reason=reason, retry_after_seconds=retry_after_seconds
    )
