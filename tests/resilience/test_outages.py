"""What the gateway answers while its database is killed or hangs, and once it is back."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.real_servers import PostgresServer, wait_for
from tests.support.running_gateway import Gateway, read_events, running_gateway

SESSIONS = "/api/v1/training/sessions"


@pytest.fixture
def own_gateway(own_postgres: PostgresServer, shared_nats_url: str, tmp_path: Path) -> Iterator[Gateway]:
    url = own_postgres.url(own_postgres.create_database())
    with running_gateway(database_url=url, nats_url=shared_nats_url, folder=tmp_path) as gateway:
        yield gateway


def unified(client: httpx.Client, session_id: int) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"{SESSIONS}/{session_id}/progress-unified").raise_for_status().json()
    return body


def is_away(answer: httpx.Response) -> bool:
    """Whether it says 503 in the contract's form, and nothing of the inside."""
    if answer.status_code != 503:
        return False
    assert answer.json()["error"]["code"] == "database_away"
    assert answer.json().keys() == {"detail", "message", "error"}
    assert int(answer.headers["retry-after"]) > 0
    assert "Traceback" not in answer.text
    assert "asyncpg" not in answer.text
    return True


def test_a_database_that_is_killed_is_503_and_everything_goes_on_when_it_is_back(
    own_gateway: Gateway, own_postgres: PostgresServer
) -> None:
    with own_gateway.client() as client:
        session_id, unseen = own_gateway.create(client), 1_000_000
        with client.stream("GET", f"{SESSIONS}/{session_id}/progress-unified/stream") as answer:
            events = read_events(answer.iter_lines())
            assert json.loads(next(events)["data"])["overallStatus"] == "pending"

            own_postgres.stop(signal.SIGQUIT)
            try:
                for path in (SESSIONS, f"{SESSIONS}/{session_id}"):
                    assert is_away(client.get(path))
                assert client.get(f"{SESSIONS}/{session_id}/progress-unified").json()["overallStatus"] == "pending"
                wait_for(lambda: unified(client, session_id)["stale"] is True, "the answer says that it may be old")
                assert is_away(client.get(f"{SESSIONS}/{unseen}/progress-unified"))
                assert is_away(client.post(f"{SESSIONS}/{session_id}/start"))
                assert is_away(client.get(f"{SESSIONS}/{unseen}/progress-unified/stream"))
                assert client.get("/health").status_code == 200
            finally:
                own_postgres.start()

            wait_for(lambda: client.post(f"{SESSIONS}/{session_id}/start").is_success, "it can be started")
            after = (json.loads(event["data"])["overallStatus"] for event in events if "data" in event)
            assert "running" in after, "the stream outlived the database"


def test_a_database_that_hangs_is_503_before_a_reader_gives_up(
    own_gateway: Gateway, own_postgres: PostgresServer
) -> None:
    with own_gateway.client() as client:
        session_id = own_gateway.create(client)

        own_postgres.signal_all(signal.SIGSTOP)
        try:
            assert is_away(client.get(f"{SESSIONS}/{session_id}"))
            assert is_away(client.get(SESSIONS))
        finally:
            own_postgres.signal_all(signal.SIGCONT)

        wait_for(lambda: client.get(f"{SESSIONS}/{session_id}").is_success, "it answers again")
