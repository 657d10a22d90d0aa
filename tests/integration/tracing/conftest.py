"""A whole stack over scripted workers."""

from tests.support.stack_fixtures import servers, shared_workers, workers

__all__ = ["servers", "shared_workers", "workers"]
