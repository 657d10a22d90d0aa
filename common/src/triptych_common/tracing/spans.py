"""Spans: what was done, for how long, and of what it was a part."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from triptych_common.tracing.carrying import caller_of, context_of

TRACER: Final = trace.get_tracer("triptych")
_PREFIX: Final = "triptych."

Attribute = str | int | float | bool | Sequence[int]


@contextmanager
def span(name: str, *, parent: str = "", kind: SpanKind = SpanKind.INTERNAL, **attributes: Attribute) -> Iterator[Span]:
    """What is done in this context, as a part of what is being done, or of the trace context ``parent``.

    What it raises is told by the name of its class alone: messages may hold paths.
    """
    with TRACER.start_as_current_span(
        name,
        context=context_of(parent) if parent else None,
        kind=kind,
        attributes=_named(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as one:
        try:
            yield one
        except Exception as error:
            one.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


@contextmanager
def served(method: str, metadata: Any) -> Iterator[None]:
    """The answering of a gRPC call, where its caller is traced."""
    parent = caller_of(metadata)
    if not parent:
        yield
        return
    with span(method.rpartition("/")[2], parent=parent, kind=SpanKind.SERVER):
        yield


def record(name: str, *, parent: str, start_nanoseconds: int, end_nanoseconds: int, **attributes: Attribute) -> None:
    """Note a span that is over, times since 1970, of the trace context ``parent``."""
    one = TRACER.start_span(
        name, context=context_of(parent), start_time=start_nanoseconds, attributes=_named(attributes)
    )
    one.end(end_nanoseconds)


def _named(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {f"{_PREFIX}{name}": value for name, value in attributes.items()}
