"""The command that a container's health check runs, against real processes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.running_gateway import running_gateway
from tests.support.scripted_workers import listening

SECONDS = 60


def health(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("triptych-health")), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.fixture
def serving() -> Iterator[int]:
    """The port of a service that takes work."""
    with listening(lambda _: None, port=0) as address:
        yield int(address.rpartition(":")[2])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - asked, not listened on
def test_a_service_that_takes_work_is_healthy(serving: int, host: str) -> None:
    assert health(f"{host}:{serving}").returncode == 0
    assert health(TRIPTYCH_LISTEN=f"{host}:{serving}").returncode == 0


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_where_nobody_listens_it_says_so(scheme: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    answer = health(f"{scheme}{address}")

    assert answer.returncode == 1
    assert answer.stderr.startswith(f"{address} does not answer")


def test_the_gateway_is_asked_over_http(database_url: str, nats_url: str, tmp_path: Path) -> None:
    with running_gateway(database_url=database_url, nats_url=nats_url, folder=tmp_path) as gateway:
        assert health(f"{gateway.url}/health").returncode == 0
        assert "404" in health(f"{gateway.url}/nothing/here").stderr


@pytest.mark.parametrize("arguments", [(), ("a:1", "b:2"), ("--help",)])
def test_without_one_address_it_says_how_to_be_called(arguments: tuple[str, ...]) -> None:
    answer = health(*arguments)

    assert answer.returncode == 2
    assert answer.stderr.startswith("usage: triptych-health")
