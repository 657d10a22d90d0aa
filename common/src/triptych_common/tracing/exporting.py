"""Sends spans to a collector by OTLP over gRPC, where the environment names one."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace

from triptych_common.errors import ConfigurationError

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_LAST_SPANS_MILLISECONDS: Final = 2000


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether spans are to be sent anywhere."""
    is_disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_disabled and any(environment.get(name) for name in _ENDPOINTS)


@contextmanager
def tracing(process: str) -> Iterator[None]:
    """Have this process's spans sent, as long as the context lasts, where the environment says so.

    All else is as the variables of OpenTelemetry's specification say: sampling, headers, certificates. Raises
    ConfigurationError where they ask for what is not here.
    """
    if not is_wanted():
        yield
        return
    for name in _PROTOCOLS:
        if os.environ.get(name, "grpc") != "grpc":
            raise ConfigurationError(
                f"{name} is {os.environ[name]}, but traces are sent by gRPC alone: leave it out, and name a collector's"
                " gRPC endpoint, such as http://127.0.0.1:4317."
            )
    # Imported here: whoever has no collector does without it.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create({"service.namespace": "triptych", "service.name": f"triptych-{process}"}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        # A collector that is away must not keep the process from ending.
        provider.force_flush(_LAST_SPANS_MILLISECONDS)
        provider.shutdown()
