"""What goes along with a gRPC call of ours: the trace that it belongs to, and the ids that logs tell."""

from triptych_common.correlation import correlation_metadata
from triptych_common.tracing import trace_metadata


def call_metadata() -> tuple[tuple[str, str], ...]:
    """Metadata of a gRPC call that belongs to what is being done."""
    return (*trace_metadata(), *correlation_metadata())
