"""A collector of traces: takes spans by OTLP over gRPC, as Jaeger, Tempo and others do, and shows them to a test."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

_PREFIX = "triptych."


@dataclass(frozen=True, kw_only=True)
class ReceivedSpan:
    """A span, and the process that sent it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    seconds: float
    attributes: dict[str, Any]
    """Our own without their prefix."""
    content: bytes
    """All of it as it came."""


@dataclass
class SpanReceiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    endpoint: str = ""
    _spans: list[ReceivedSpan] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        for of_process in request.resource_spans:
            service = _attributes(of_process.resource.attributes)["service.name"]
            found = [_received(service, span) for scope in of_process.scope_spans for span in scope.spans]
            with self._lock:
                self._spans += found
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self, trace_id: str) -> list[ReceivedSpan]:
        """What came of a trace so far."""
        with self._lock:
            return [span for span in self._spans if span.trace_id == trace_id]


@contextlib.contextmanager
def span_receiver() -> Iterator[SpanReceiver]:
    """A receiver that listens."""
    server = grpc.server(ThreadPoolExecutor(4))
    receiver = SpanReceiver()
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(receiver, server)
    receiver.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None).wait()


def _received(service: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        attributes={name.removeprefix(_PREFIX): value for name, value in _attributes(span.attributes).items()},
        content=span.SerializeToString(),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)
