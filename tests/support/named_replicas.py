"""Replicas of a service behind one name, as behind a headless Service: an address of their own each, and one port.

Loopback has many addresses (Linux answers on all of 127.0.0.0/8). What the name stands for is in a file, which those
programs see as /etc/hosts that are started with `HostNames.prefix`; so it may change while they run.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.metrics import scrape
from tests.support.ports import free_port
from tests.support.running_workers import Service, stop, until_serving
from triptych_gateway.cli.stack.launch import bound_to_this_process

SYNTHETIC_SERVICE: Final = Path(__file__).parents[2] / "benchmarks" / "synthetic_service.py"
"""A service of photos whose model is none."""
_ADDRESSES: Final = "127.0.1."
_UNSHARE: Final = ("/usr/bin/unshare", *(() if os.geteuid() == 0 else ("--map-root-user",)), "--mount")


class HostNames:
    """What names stand for, to some programs alone: they have a mount namespace of their own (unshare(1))."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._named: dict[str, tuple[str, ...]] = {}
        self._write()

    @property
    def prefix(self) -> tuple[str, ...]:
        """What goes before the command of a program for which the names are to hold; it becomes that by exec(3)."""
        become = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return (*_UNSHARE, "/bin/sh", "-c", become, str(self._file))

    def name(self, name: str, addresses: Sequence[str]) -> None:
        """Let a name stand for these addresses from now on."""
        self._named[name] = tuple(addresses)
        self._write()

    def _write(self) -> None:
        lines = [f"{address} {name}\n" for name, addresses in self._named.items() for address in addresses]
        # In place: a file that is mounted over another stays the one that it was.
        self._file.write_text("".join(["127.0.0.1 localhost\n", *lines]))


def has_mount_namespaces() -> bool:
    """Whether this system lets us have names for single programs."""
    try:
        return subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@dataclass(frozen=True, kw_only=True)
class Replica(Service):
    """A running replica."""

    metrics: str
    """Where its metrics are."""

    async def photos_computed(self) -> float:
        """Photos that went through its model."""
        return (await scrape(self.metrics)).get("triptych_micro_batch_photos_sum") or 0.0


@dataclass(kw_only=True)
class NamedReplicas:
    """The replicas of one service; its model is none and takes so many seconds a photo."""

    service: str
    """``embedder`` or ``facedetect``."""
    hosts: HostNames
    environment: Mapping[str, str]
    """Of every replica: where NATS is, and the media roots."""
    folder: Path
    started: list[Replica] = field(default_factory=list)
    named: list[Replica] = field(default_factory=list)
    """Those that the name stands for."""
    _port: int = field(default_factory=free_port)
    _metrics_port: int = field(default_factory=free_port)

    @property
    def address(self) -> str:
        """The name, with the port: what a gateway is told."""
        return f"{self.service}.replicas.test:{self._port}"

    async def add(self, *, seconds_per_photo: float, **settings: str) -> Replica:
        """Start one more, wait until it takes work, and let the name stand for it too."""
        replica = await self.start(seconds_per_photo=seconds_per_photo, **settings)
        self.name(replica)
        return replica

    async def start(self, *, seconds_per_photo: float, **settings: str) -> Replica:
        """Start one more, and wait until it takes work; nobody knows of it yet."""
        replica = self._launch(seconds_per_photo, settings)
        self.started.append(replica)
        await until_serving(replica)
        return replica

    def _launch(self, seconds_per_photo: float, settings: Mapping[str, str]) -> Replica:
        number = len(self.started) + 1
        host, log = f"{_ADDRESSES}{number}", self.folder / f"{self.service}-{number}.log"
        metrics = f"{host}:{self._metrics_port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIPTYCH_")} | {
            **self.environment,
            "TRIPTYCH_LISTEN": f"{host}:{self._port}",
            "TRIPTYCH_METRICS_LISTEN": metrics,
            **settings,
        }
        program = (sys.executable, str(SYNTHETIC_SERVICE), self.service, str(seconds_per_photo))
        bound = bound_to_this_process(program, user=None, death_signal=signal.SIGKILL)
        with log.open("wb") as output:
            process = subprocess.Popen(bound, env=environment, stdout=output, stderr=output)
        return Replica(process=process, address=f"{host}:{self._port}", log=log, metrics=metrics)

    def name(self, replica: Replica) -> None:
        """Let the name stand for one."""
        self.named.append(replica)
        self._name_all()

    def forget(self, replica: Replica) -> None:
        """Let the name no longer stand for one."""
        self.named.remove(replica)
        self._name_all()

    def stop_all(self) -> None:
        """End every process, in order."""
        for replica in self.started:
            stop(replica.process)

    def _name_all(self) -> None:
        hosts = [one.address.rpartition(":")[0] for one in self.named]
        self.hosts.name(self.address.rpartition(":")[0], hosts)
