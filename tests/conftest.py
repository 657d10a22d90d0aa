"""Real servers that several tests share: one PostgreSQL and one NATS for all of them, a fresh database for each."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.nats_server import NatsServer
from tests.support.real_servers import PostgresServer, nats_server, postgres_server
from triptych_gateway.catalog.database import create_engine

# What is compiled, of tests too, is kept: each of pytest's processes imports all tests, and they start hundreds more.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A busy machine must not decide a test: no example has a deadline, and none is too slow to be made up.
hypothesis.settings.register_profile("triptych", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("triptych")
# As in every process: no traceback shows the values of variables, which may change while they are being written.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """PostgreSQL with pgvector. Not to be stopped: other tests use it too."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """A database with the present schema and nothing in it."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> Iterator[str]:
    """A database without any table."""
    name = postgres.create_database(migrated=False)
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Connections to a fresh database."""
    created = create_engine(database_url)
    yield created
    await created.dispose()


@pytest.fixture(scope="session")
def shared_nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """NATS with JetStream. Its streams are shared by all tests that use it."""
    with nats_server(tmp_path_factory.mktemp("nats")) as url:
        yield url


@pytest_asyncio.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """NATS with JetStream of a test's own, which may kill it, wipe it and start it again."""
    server = NatsServer(folder=tmp_path)
    await server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def nats_url(nats: NatsServer) -> str:
    """Where that NATS is."""
    return nats.url
