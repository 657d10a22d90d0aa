"""One gateway for the tests of the REST contract; those that break something take one of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from tests.support.real_servers import PostgresServer, run_apart
from tests.support.running_gateway import Gateway, running_gateway
from triptych_gateway.catalog.database import create_engine

Alter = Callable[..., None]


@pytest.fixture(scope="session")
def gateway(
    postgres: PostgresServer, shared_nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway whose worker services are away."""
    name = postgres.create_database()
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(database_url=postgres.url(name), nats_url=shared_nats_url, folder=folder) as running:
        yield running
    postgres.drop_database(name)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client() as opened:
        yield opened


@pytest.fixture
def folder(gateway: Gateway, tmp_path: Path) -> Path:
    """A new directory under the media root."""
    made = gateway.media / tmp_path.name
    made.mkdir()
    return made


@pytest.fixture
def alter(gateway: Gateway) -> Alter:
    """Executes a statement in the gateway's database, behind its back."""

    def execute(statement: str, **parameters: object) -> None:
        async def work() -> None:
            engine = create_engine(gateway.database_url)
            async with engine.begin() as connection:
                await connection.execute(text(statement), parameters)
            await engine.dispose()

        run_apart(work())

    return execute
