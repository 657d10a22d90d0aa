"""What can go wrong between the command line and a gateway.

GatewayError                a sentence for a person
├── GatewayUnreachable      the connection broke, no answer came in time, or a service behind is away
│   └── NoGateway           nothing listens there
├── RequestRefused          the gateway understood and said no: its own code and sentence
└── UnexpectedAnswer        something answered that is not this contract
"""

from collections.abc import Mapping
from typing import Any


class GatewayError(Exception):
    """Base of the family; its text is one sentence for a person."""


class GatewayUnreachable(GatewayError):  # noqa: N818 — named as the state it reports
    """Nothing answered: trying again later may help."""


class NoGateway(GatewayUnreachable):
    """Nothing listens at the address."""


class RequestRefused(GatewayError):  # noqa: N818 — named as the event it reports
    """The gateway answered with an error of the contract; the text is its message."""

    def __init__(self, message: str, *, status_code: int, code: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code
        self.details: Mapping[str, Any] = details or {}


class UnexpectedAnswer(GatewayError):  # noqa: N818 — named as the thing it reports
    """The answer does not follow the contract: most likely another program listens there."""
