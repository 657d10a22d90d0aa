"""A whole stack over scripted workers."""

from tests.support.stack_fixtures import servers, stack, workers

__all__ = ["servers", "stack", "workers"]
