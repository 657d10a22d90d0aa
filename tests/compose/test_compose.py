"""The whole system under Docker Compose: it trains while a service is scaled and parts of it are killed or stopped."""

from datetime import datetime
from typing import Any

import httpx

from tests.compose.composition import OURS, Composition
from tests.compose.training import Training


def test_it_trains_through_scaling_a_killed_replica_and_a_killed_nats(
    compose: Composition, interface: httpx.Client
) -> None:
    training = Training(interface, compose.make_samples("scaled", photos=90))
    training.until("training", photos=16)

    compose("up", "--detach", "--no-recreate", "--scale", "facedetect=3", "facedetect")
    assert len(compose.running("facedetect")) == 3
    training.until("faceDetection", photos=8)

    compose.kill(compose.running("facedetect")[0])
    compose("kill", "nats")
    compose("up", "--detach", "--wait", "--no-recreate", "nats")

    training.until_completed(photos=90)


def test_what_is_stopped_in_mid_run_ends_in_order_and_goes_on_when_it_is_started(
    compose: Composition, interface: httpx.Client
) -> None:
    compose.start()
    training = Training(interface, compose.make_samples("stopped", photos=60))
    training.until("training", photos=8)

    compose("stop")

    states = {service: compose.states(service) for service in (*OURS, "postgres")}
    assert {service: [one["ExitCode"] for one in ended] for service, ended in states.items()} == {
        service: [0] for service in states
    }
    # Whoever is asked outlives whoever asks.
    assert _ended(states["gateway"]) < min(_ended(states[service]) for service in states if service != "gateway")
    compose.start()
    training.until_completed(photos=60)


def _ended(states: list[dict[str, Any]]) -> datetime:
    return max(datetime.fromisoformat(one["FinishedAt"]) for one in states)


def test_the_command_line_trains_inside_the_gateway_s_container(compose: Composition, first_token: str) -> None:
    root = compose.make_samples("typed", photos=8)
    said = compose(
        *("exec", "-T", "--env", f"TRIPTYCH_TOKEN={first_token}", "gateway"),
        *("triptych", "train", root, "--url", "http://127.0.0.1:8000", "--json"),
    )
    assert '"completed"' in said.splitlines()[-1], said
