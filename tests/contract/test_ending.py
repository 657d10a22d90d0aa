"""How a gateway ends: in order when it is asked to, and at once where its port is taken."""

import signal
from pathlib import Path

import pytest

from tests.support.real_servers import DEADLINE_SECONDS
from tests.support.running_gateway import Gateway, read_events, running_gateway

SESSIONS = "/api/v1/training/sessions"


def test_the_gateway_ends_with_a_stream_open(database_url: str, shared_nats_url: str, tmp_path: Path) -> None:
    with (
        running_gateway(database_url=database_url, nats_url=shared_nats_url, folder=tmp_path) as own_gateway,
        own_gateway.client() as client,
    ):
        session_id = own_gateway.create(client)
        client.post(f"{SESSIONS}/{session_id}/start")
        with client.stream("GET", f"{SESSIONS}/{session_id}/progress-unified/stream") as answer:
            events = read_events(answer.iter_lines())
            assert "data" in next(events)

            own_gateway.process.send_signal(signal.SIGTERM)
            assert all("data" in event for event in events), "the stream was closed in order"
            assert own_gateway.process.wait(DEADLINE_SECONDS) == 0
    assert "Traceback" not in own_gateway.log.read_text()


def test_another_gateway_on_the_same_port_says_so_and_does_not_start(
    gateway: Gateway, shared_nats_url: str, tmp_path: Path
) -> None:
    port = gateway.url.rpartition(":")[2]

    with (
        pytest.raises(AssertionError, match="TRIPTYCH_HTTP_PORT"),
        running_gateway(
            database_url=gateway.database_url, nats_url=shared_nats_url, folder=tmp_path, TRIPTYCH_HTTP_PORT=port
        ),
    ):
        pass
