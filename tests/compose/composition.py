"""The whole system under Docker Compose, in a project of its own, and what tests ask of it.

Needs a Docker engine with Compose (`DOCKER_HOST` or the default socket). `BASE_IMAGE` and `NODE_IMAGE` name what images
are built from; with `SUBSTITUTES=1` NATS and PostgreSQL come out of their wheels, where public images cannot be pulled.
With `BUILD=0` the images are taken as they are.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.support.ports import free_port

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = "triptych-test"
OURS: Final = ("gateway", "embedder", "facedetect", "cluster", "progress")
OBJECT_STORAGE: Final = "deploy/compose/object-storage.yaml"
_IMAGES: Final = Path(__file__).parent / "images"
_BUILD_SECONDS: Final = 3600.0
_SECONDS: Final = 900.0
_EVERY_PROFILE: Final = ("--profile", "samples", "--profile", "backup")


@dataclass(frozen=True, kw_only=True)
class Composition:
    """The containers of one project, which is not that of an installation on this machine."""

    environment: Mapping[str, str]
    files: tuple[str, ...] = ("compose.yaml",)

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return f"http://127.0.0.1:{self.environment['PORT']}"

    def __call__(self, *arguments: str, seconds: float = _SECONDS, given: str | None = None) -> str:
        """Run `docker compose`, with something to read; returns what it printed."""
        files = [part for file in self.files for part in ("--file", file)]
        return self._docker("compose", "--project-name", PROJECT, *files, *arguments, seconds=seconds, given=given)

    def start(self) -> None:
        """Start whatever does not run, and wait until all of it is healthy."""
        self("up", "--detach", "--wait")

    def make_samples(self, name: str, *, photos: int) -> str:
        """A directory of sample photos, of which no other test knows; returns its path in the containers."""
        self("run", "--rm", "samples", f"/photos/{name}", "--count", str(photos))
        return f"/photos/{name}"

    def states(self, service: str) -> list[dict[str, Any]]:
        """What the engine knows of a service's containers, also of those that ended (`State` of `docker inspect`)."""
        ids = self("ps", "--all", "--quiet", service).split()
        return [one["State"] for one in json.loads(self._docker("inspect", *ids))]

    def ways_out(self, service: str) -> set[str]:
        """Networks of a service's containers that the engine lets out of this machine."""
        containers = json.loads(self._docker("inspect", *self.running(service)))
        names = {name for one in containers for name in one["NetworkSettings"]["Networks"]}
        networks = json.loads(self._docker("network", "inspect", *sorted(names)))
        return {one["Name"].removeprefix(f"{PROJECT}_") for one in networks if not one["Internal"]}

    def running(self, service: str) -> list[str]:
        """Ids of a service's running containers."""
        return self("ps", "--quiet", service).split()

    def log(self, service: str) -> str:
        """What a service's one container has written to standard output, also before it was started again."""
        return self._docker("logs", *self("ps", "--all", "--quiet", service).split())

    def kill(self, container: str) -> None:
        """End a container by SIGKILL; as who ended it by hand, the engine does not start it again."""
        self._docker("kill", container)

    def image(self, name: str) -> dict[str, Any]:
        """What the engine knows of an image."""
        images: list[dict[str, Any]] = json.loads(self._docker("image", "inspect", name))
        return images[0]

    def in_image(self, name: str, script: str) -> str:
        """What a shell script prints in a container of an image, as the image's own user."""
        return self._docker("run", "--rm", "--network", "none", "--entrypoint", "sh", name, "-c", script)

    def host_address(self) -> str:
        """The address under which containers reach this machine, if the engine runs on it."""
        (network,) = json.loads(self._docker("network", "inspect", f"{PROJECT}_public"))
        address: str = network["IPAM"]["Config"][0]["Gateway"]
        return address

    def with_file(self, file: str, **environment: str) -> "Composition":
        """The same project with one more Compose file."""
        return replace(self, files=(*self.files, file), environment={**self.environment, **environment})

    def build(self) -> None:
        """Build every image."""
        self(*_EVERY_PROFILE, "build", "--quiet", seconds=_BUILD_SECONDS)

    def remove(self) -> None:
        """Remove containers, networks and volumes, also those of the files that were added."""
        self.with_file(OBJECT_STORAGE, BUCKETS="s3://none")(*_EVERY_PROFILE, "down", "--volumes", "--timeout", "20")

    def _docker(self, *arguments: str, seconds: float = _SECONDS, given: str | None = None) -> str:
        done = subprocess.run(
            ["docker", *arguments],
            cwd=ROOT,
            env=dict(self.environment),
            input=given,
            stdout=subprocess.PIPE,
            text=True,
            timeout=seconds,
            check=True,
        )
        return done.stdout


@contextlib.contextmanager
def running_composition() -> Iterator[Composition]:
    """All of it, built, healthy, and removed in the end."""
    composition = Composition(environment={**os.environ, **_substitutes(), "PORT": str(free_port())})
    try:
        if os.environ.get("BUILD") != "0":
            composition.build()
        composition.start()
        yield composition
    finally:
        composition.remove()


def _substitutes() -> dict[str, str]:
    """Images of NATS and PostgreSQL that were built here, if they are wanted."""
    if os.environ.get("SUBSTITUTES") != "1":
        return {}
    base = f"BASE_IMAGE={os.environ['BASE_IMAGE']}"
    for name in ("nats", "postgres"):
        command = ["docker", "build", "--quiet", "--build-arg", base, "--tag", f"triptych-test-{name}"]
        folder = ["--file", str(_IMAGES / f"{name}.Dockerfile"), str(ROOT)]
        subprocess.run([*command, *folder], check=True, timeout=_BUILD_SECONDS)
    return {"NATS_IMAGE": "triptych-test-nats", "POSTGRES_IMAGE": "triptych-test-postgres"}
