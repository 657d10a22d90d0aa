"""The context of a trace on its way: as gRPC metadata, in a progress event, and in a row of the catalogue."""

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT: Final = "traceparent"
_PROPAGATOR: Final = TraceContextTextMapPropagator()


def current_traceparent() -> str:
    """W3C trace context of what is being done; empty where it is not traced."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(TRACEPARENT, "")


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """The trace context of what is being done, as metadata of a gRPC call; empty where it is not traced."""
    traceparent = current_traceparent()
    return ((TRACEPARENT, traceparent),) if traceparent else ()


def caller_of(metadata: Iterable[Any] | None) -> str:
    """The trace context of a gRPC call's caller; empty where it is not traced."""
    return next((str(value) for key, value in metadata or () if key == TRACEPARENT), "")


def context_of(traceparent: str) -> Any:
    """The context in which a span belongs to that trace; one that cannot be read begins a trace of its own."""
    return _PROPAGATOR.extract({TRACEPARENT: traceparent})
