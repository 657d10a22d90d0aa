"""Traces, where somebody collects them: from a request over a session's shards to micro-batches and reports.

Off unless the environment names an OTLP endpoint: then nothing of OpenTelemetry's SDK is imported, no trace context
travels, and a span costs microseconds. No span has a path, a name or a text in it: photos are told by their ids.
"""

from triptych_common.tracing.carrying import caller_of, current_traceparent, trace_metadata
from triptych_common.tracing.exporting import is_wanted, tracing
from triptych_common.tracing.spans import served, span

__all__ = ["caller_of", "current_traceparent", "is_wanted", "served", "span", "trace_metadata", "tracing"]
