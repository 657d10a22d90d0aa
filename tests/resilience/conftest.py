"""A whole stack over scripted workers, and a PostgreSQL that may be stopped."""

from collections.abc import Iterator

import pytest

from tests.support.real_servers import PostgresServer, postgres_server
from tests.support.stack_fixtures import servers, shared_workers, workers

__all__ = ["servers", "shared_workers", "workers"]


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that a test may stop; it has to be started again."""
    with postgres_server() as server:
        yield server
