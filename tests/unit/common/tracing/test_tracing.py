"""Where nobody collects traces there are none; where somebody does, they tell of nothing that a person wrote."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from triptych_common.errors import ConfigurationError
from triptych_common.tracing import (
    caller_of,
    current_traceparent,
    is_wanted,
    served,
    span,
    spans,
    trace_metadata,
    tracing,
)

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Spans as they would be sent; the provider is this test's alone."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "TRACER", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_an_endpoint_switches_it_on(environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environment) is wanted


def test_without_an_endpoint_nothing_is_loaded_or_sent_along() -> None:
    program = """
import sys
from triptych_common.process import tracing
from triptych_common.tracing import trace_metadata, current_traceparent, served, span
with tracing("test"), span("a", photos=1), served("/triptych.v1.Embedder/EmbedImages", ()):
    assert (current_traceparent(), trace_metadata()) == ("", ())
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_protocol_that_is_not_spoken_ends_the_process_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")

    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_PROTOCOL is http/protobuf"), tracing("test"):
        pass


def test_a_trace_goes_on_where_it_is_carried_to(exported: InMemorySpanExporter) -> None:
    with span("call") as outer:
        metadata = trace_metadata()
        assert caller_of((("user-agent", "grpc"), *metadata)) == current_traceparent()
    with served("/triptych.v1.Embedder/EmbedImages", metadata):
        spans.record("inference", parent=current_traceparent(), start_nanoseconds=5, end_nanoseconds=9, photos=2)

    call, inference, answer = exported.get_finished_spans()
    assert call.get_span_context() == outer.get_span_context()
    assert (answer.name, inference.name) == ("EmbedImages", "inference")
    assert answer.parent is not None
    assert inference.parent is not None
    assert (context := answer.get_span_context()) is not None
    assert answer.parent.span_id == outer.get_span_context().span_id
    assert inference.parent.span_id == context.span_id
    assert (inference.start_time, inference.end_time) == (5, 9)
    assert dict(inference.attributes or {}) == {"triptych.photos": 2}


def test_a_call_of_whoever_is_not_traced_makes_no_trace(exported: InMemorySpanExporter) -> None:
    with served("/triptych.v1.Progress/GetSessionProgress", (("user-agent", "grpc"),)):
        assert current_traceparent() == ""

    assert exported.get_finished_spans() == ()


def test_a_garbled_context_begins_a_trace_of_its_own(exported: InMemorySpanExporter) -> None:
    with span("session", parent="00-not-a-context"):
        pass

    [session] = exported.get_finished_spans()
    assert session.parent is None


def test_what_an_error_says_is_not_told(exported: InMemorySpanExporter) -> None:
    with pytest.raises(FileNotFoundError), span("store", parent=CALLER):
        raise FileNotFoundError("/photos/grandma.jpg")

    [store] = exported.get_finished_spans()
    assert store.status.status_code is StatusCode.ERROR
    assert store.status.description == "FileNotFoundError"
    assert store.events == ()
    assert "grandma" not in store.to_json()
