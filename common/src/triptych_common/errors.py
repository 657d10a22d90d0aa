"""Errors that a service answers with, whatever carries them.

ServiceError                 code and reason; rpc/status.py has their form on the wire
├── InvalidRequestError      INVALID_ARGUMENT     the request cannot be carried out as it is
├── PreconditionError        FAILED_PRECONDITION  the service is not in a state to do it
├── MissingError             NOT_FOUND            what was named does not exist
├── OverloadedError          RESOURCE_EXHAUSTED   try later; says when
└── AwayError                UNAVAILABLE          try later or elsewhere
"""

from collections.abc import Mapping
from typing import ClassVar

EXIT_BAD_CONFIGURATION = 78
"""Exit status (EX_CONFIG of sysexits.h) of a process that cannot start as it is set up: restarting cannot help."""
EXIT_BROKEN = 70
"""Exit status (EX_SOFTWARE of sysexits.h) of a process that ends because a part of it died: restarting may help."""


class ConfigurationError(Exception):
    """The process cannot start as it is set up; the message is one sentence that says what to do."""


class ServiceError(Exception):
    """An error that a service answers with. ``reason`` is a stable UPPER_SNAKE_CASE word."""

    code: ClassVar[str] = "INTERNAL"
    """Name of the gRPC status code."""

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

    code = "INVALID_ARGUMENT"


class PreconditionError(ServiceError):
    """The service is not in a state to do it."""

    code = "FAILED_PRECONDITION"


class MissingError(ServiceError):
    """What was named does not exist."""

    code = "NOT_FOUND"


class OverloadedError(ServiceError):
    """Too much is waiting already; try again after ``retry_after_seconds``."""

    code = "RESOURCE_EXHAUSTED"


class AwayError(ServiceError):
    """The service cannot answer now; try again later or elsewhere."""

    code = "UNAVAILABLE"
