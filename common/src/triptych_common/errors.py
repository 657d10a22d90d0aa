"""Errors that a service answers with, and their form on the wire.

ServiceError                 code and reason travel as a gRPC status with google.rpc details
├── InvalidRequestError      INVALID_ARGUMENT     the request cannot be carried out as it is
├── PreconditionError        FAILED_PRECONDITION  the service is not in a state to do it
├── MissingError             NOT_FOUND            what was named does not exist
├── OverloadedError          RESOURCE_EXHAUSTED   try later; says when
└── AwayError                UNAVAILABLE          try later or elsewhere
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "triptych"

EXIT_BAD_CONFIGURATION = 78
"""Exit status (EX_CONFIG of sysexits.h) of a process that cannot start as it is set up: restarting cannot help."""


class ConfigurationError(Exception):
    """The process cannot start as it is set up; the message is one sentence that says what to do."""


class ServiceError(Exception):
    """An error that a service answers with. ``reason`` is a stable UPPER_SNAKE_CASE word."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after_seconds = retry_after_seconds


class InvalidRequestError(ServiceError):
    """The request cannot be carried out as it is."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class PreconditionError(ServiceError):
    """The service is not in a state to do it."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class MissingError(ServiceError):
    """What was named does not exist."""

    code = grpc.StatusCode.NOT_FOUND


class OverloadedError(ServiceError):
    """Too much is waiting already; try again after ``retry_after_seconds``."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class AwayError(ServiceError):
    """The service cannot answer now; try again later or elsewhere."""

    code = grpc.StatusCode.UNAVAILABLE


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
    status = status_pb2.Status(code=error.code.value[0], message=error.message, details=details)
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
    return RemoteError(
        code=error.code(), message=error.details() or reason, reason=reason, retry_after_seconds=retry_after_seconds
    )
