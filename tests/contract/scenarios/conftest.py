"""A whole stack over scripted workers."""

from tests.support.stack_fixtures import servers, shared_stack, shared_workers, stack, workers

__all__ = ["servers", "shared_stack", "shared_workers", "stack", "workers"]
