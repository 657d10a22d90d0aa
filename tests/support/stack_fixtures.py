"""Fixtures: whole stacks over scripted workers. The conftest of who needs them imports them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.emptied_database import emptied
from tests.support.real_servers import PostgresServer, nats_server
from tests.support.scripted_stack import Servers, Stack
from tests.support.scripted_workers import ScriptedWorkers, scripted_workers


@pytest.fixture(scope="session")
def shared_workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        yield running


@pytest.fixture
def workers(shared_workers: ScriptedWorkers) -> ScriptedWorkers:
    """Workers that have forgotten what other tests had them do."""
    shared_workers.forget()
    return shared_workers


@pytest.fixture
def servers(postgres: PostgresServer, database_url: str, workers: ScriptedWorkers, tmp_path: Path) -> Iterator[Servers]:
    """For stacks of a test's own, which may be killed."""
    folder = tmp_path / "servers"
    folder.mkdir()
    with nats_server(folder) as nats_url:
        yield Servers(postgres=postgres, database_url=database_url, nats_url=nats_url, workers=workers, folder=folder)


@pytest.fixture(scope="session")
def shared_stack(
    postgres: PostgresServer, shared_workers: ScriptedWorkers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    name, folder = postgres.create_database(), tmp_path_factory.mktemp("stack")
    with nats_server(folder) as nats_url:
        servers = Servers(
            postgres=postgres,
            database_url=postgres.url(name),
            nats_url=nats_url,
            workers=shared_workers,
            folder=folder,
        )
        with servers.stack() as running:
            yield running
    postgres.drop_database(name)


@pytest.fixture
def stack(shared_stack: Stack, workers: ScriptedWorkers) -> Iterator[Stack]:
    """A stack with nothing in it. Not to be stopped: other tests use it too."""
    yield shared_stack
    workers.forget()
    shared_stack.delete_sessions()
    emptied(shared_stack.servers.database_url)
