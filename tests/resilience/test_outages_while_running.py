"""Progress of a session that runs while NATS or PostgreSQL is killed: always an answer, and an honest one."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.nats_server import NatsServer
from tests.support.real_servers import PostgresServer, wait_for
from tests.support.running_gateway import Gateway, running_gateway
from tests.support.running_progress import running_progress
from tests.support.scripted_workers import ScriptedWorkers, scripted_workers

SESSIONS = "/api/v1/training/sessions"
PHOTOS = 20
HELD_AT = 5


@pytest.fixture(scope="module")
def own_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A NATS that a test may kill; it has to be started again."""
    server = NatsServer(folder=tmp_path_factory.mktemp("nats"))
    asyncio.run(server.start())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    own_postgres: PostgresServer,
    own_nats: NatsServer,
    workers: ScriptedWorkers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with (
        running_progress(nats_url=own_nats.url, folder=folder) as progress,
        running_gateway(
            database_url=own_postgres.url(own_postgres.create_database()),
            nats_url=own_nats.url,
            folder=folder,
            **workers.settings(),
            TRIPTYCH_PROGRESS_ADDRESSES=progress.address,
        ) as running,
    ):
        yield running


@pytest.fixture
def session_id(gateway: Gateway, workers: ScriptedWorkers, tmp_path: Path) -> Iterator[int]:
    """A session in the middle of training: some photos are embedded, the others are held back."""
    workers.embedder.worked, workers.embedder.photos_of_work = 0, HELD_AT
    directory = gateway.media / tmp_path.name
    directory.mkdir()
    for number in range(PHOTOS):
        (directory / f"{number:02}.jpg").write_bytes(b"nobody looks at it")
    with gateway.client() as client:
        made = gateway.create(client, directory)
        client.post(f"{SESSIONS}/{made}/start").raise_for_status()
        wait_for(lambda: current(unified(client, made)) == HELD_AT, "some photos are embedded")
        yield made
        workers.embedder.photos_of_work = float("inf")
        wait_for(lambda: unified(client, made)["overallStatus"] == "completed", "the session ends")


def unified(client: httpx.Client, session_id: int) -> dict[str, Any]:
    answer = client.get(f"{SESSIONS}/{session_id}/progress-unified")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["updatedAt"]
    return body


def current(body: dict[str, Any]) -> int:
    """How far training is."""
    count: int = body["phases"]["training"]["progress"]["current"]
    return count


def test_a_killed_nats_takes_nothing_from_the_progress(
    gateway: Gateway, own_nats: NatsServer, workers: ScriptedWorkers, session_id: int
) -> None:
    """The catalogue tells how far the work is, so the answers are not old either."""
    with gateway.client() as client:
        before = unified(client, session_id)
        own_nats.kill()
        try:
            workers.embedder.photos_of_work = 2 * HELD_AT
            wait_for(lambda: current(unified(client, session_id)) == 2 * HELD_AT, "the bar moves on")
            moved = unified(client, session_id)
            assert (moved["overallStatus"], moved["stale"]) == ("running", False)
            assert moved["updatedAt"] > before["updatedAt"]
            assert moved["revision"] > before["revision"]

            workers.embedder.photos_of_work = float("inf")
            seen = [moved]

            def is_completed() -> bool:
                seen.append(unified(client, session_id))
                return bool(seen[-1]["overallStatus"] == "completed")

            wait_for(is_completed, "the session ends")
        finally:
            asyncio.run(own_nats.start())
    bar = [body["overallProgress"]["percentage"] for body in seen]
    assert bar == sorted(bar)
    assert bar[-1] == 100


def test_a_killed_database_leaves_what_was_known_and_says_that_it_may_be_old(
    gateway: Gateway, own_postgres: PostgresServer, session_id: int
) -> None:
    with gateway.client() as client:
        before = unified(client, session_id)
        own_postgres.stop(signal.SIGQUIT)
        try:
            at_once = unified(client, session_id)
            wait_for(lambda: unified(client, session_id)["stale"] is True, "the answer says that it may be old")
            later = unified(client, session_id)
        finally:
            own_postgres.start()

        for body in (at_once, later):
            assert (body["overallStatus"], current(body)) == ("running", HELD_AT)
            assert body["updatedAt"] >= before["updatedAt"]
        assert later["overallProgress"]["percentage"] == before["overallProgress"]["percentage"]
        wait_for(lambda: unified(client, session_id)["stale"] is False, "the answer is fresh again")
