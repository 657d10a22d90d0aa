"""`triptych pause`, `resume`, `cancel` and `restart` as they are typed, against the real gateway."""

import httpx
import pytest
from typer.testing import CliRunner, Result

from tests.support.running_gateway import Gateway
from triptych_gateway.cli.app import app


def invoke(gateway: Gateway, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", gateway.url], env={"COLUMNS": "200"}, catch_exceptions=False)


def status_of(client: httpx.Client, session_id: int) -> str:
    status: str = client.get(f"/api/v1/training/sessions/{session_id}").json()["status"]
    return status


def test_a_session_is_paused_resumed_and_cancelled(gateway: Gateway, client: httpx.Client) -> None:
    session_id = gateway.create(client)
    client.post(f"/api/v1/training/sessions/{session_id}/start")
    number = str(session_id)

    paused = invoke(gateway, "pause", number)
    shown = [status_of(client, session_id)]
    resumed = invoke(gateway, "resume", number)
    cancelled = invoke(gateway, "cancel", number)
    shown.append(status_of(client, session_id))

    assert [one.exit_code for one in (paused, resumed, cancelled)] == [0, 0, 0]
    assert shown == ["paused", "cancelled"]
    assert paused.stdout == "The session is paused; nothing is lost.\n"
    assert "photos are embedded and stay so" in cancelled.stdout


def test_what_is_not_allowed_is_one_sentence_with_what_is(gateway: Gateway, client: httpx.Client) -> None:
    refused = invoke(gateway, "restart", str(gateway.create(client)), "faces")

    assert refused.exit_code == 1
    assert "A pending session does not allow restart-faces; it allows start, cancel, delete." in refused.output


@pytest.mark.parametrize("arguments", [("clustering", "--all"), ("training", "--new-persons"), ("everything",)])
def test_options_that_do_not_go_together_are_refused(gateway: Gateway, arguments: tuple[str, ...]) -> None:
    assert invoke(gateway, "restart", "1", *arguments).exit_code == 2
