"""Fixtures: a whole stack over scripted workers. The conftest of who needs them imports them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.real_servers import PostgresServer, nats_server
from tests.support.scripted_stack import NEVER, Servers, Stack
from tests.support.scripted_workers import ScriptedWorkers, scripted_workers


@pytest.fixture(scope="module")
def workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        yield running


@pytest.fixture
def servers(postgres: PostgresServer, database_url: str, workers: ScriptedWorkers, tmp_path: Path) -> Iterator[Servers]:
    """With an empty database, and workers that have forgotten what others had them do."""
    folder = tmp_path / "servers"
    folder.mkdir()
    for worker in (workers.embedder, workers.facedetect, workers.cluster):
        worker.trouble, worker.photos_of_work, worker.worked = None, NEVER, 0
        worker.is_bad, worker.faces_per_photo = lambda _: False, 1
        worker.calls.clear()
    with nats_server(folder) as nats_url:
        yield Servers(postgres=postgres, database_url=database_url, nats_url=nats_url, workers=workers, folder=folder)


@pytest.fixture
def stack(servers: Servers) -> Iterator[Stack]:
    with servers.stack() as running:
        yield running
