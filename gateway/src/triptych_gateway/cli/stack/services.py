"""Which services there are, in which order they start, and what each is told in its environment."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from triptych_gateway.cli.places import Place
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.process import ProcessCommand
from triptych_gateway.cli.stack.readiness import grpc_is_serving, http_is_healthy
from triptych_gateway.cli.stack.supervisor import ChildPlan

SERVICE_HOST = "127.0.0.1"
GRPC_SERVICES = ("progress", "embedder", "facedetect", "cluster")
"""They need NATS only, so they start together."""
MIGRATE = "migrate"
"""Brings the catalogue to this version, and ends."""
GATEWAY = "gateway"
"""Starts after all others: it calls them."""

# Loading torch and a large model from a cold disk takes minutes.
_READY_DEADLINE_SECONDS = 300.0
_STOP_GRACE_SECONDS = 20.0
_METRICS_LISTEN = "TRIPTYCH_METRICS_LISTEN"
_SECRETS = ("NATS_URL", "DATABASE_URL")
_KEYS_OF_PHOTOS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_WITHOUT_PHOTOS = ("progress", "cluster")
"""They read none, so they need no keys to any."""


@dataclass(frozen=True, kw_only=True)
class ServiceEnvironment:
    """What the services of one stack are told."""

    nats_urls: Mapping[str, str]
    """By name, for each of `GRPC_SERVICES` and the gateway: as whom it speaks to NATS."""
    service_token: str
    """What gateway and services show each other."""
    database_url: str
    data_directory: Path
    media_roots: tuple[Place, ...]
    addresses: Mapping[str, str]
    """host:port by name, for each of `GRPC_SERVICES`."""
    http_host: str
    http_port: int
    models_directory: Path
    """Absolute: services have another working directory than whoever names one."""
    inherited: Mapping[str, str]
    """This process's own environment: services read their further settings from it."""
    models: Mapping[str, str] = field(default_factory=dict)
    """The model of each service that runs one, by name, as TRIPTYCH_MODEL takes it."""

    def of(self, name: str) -> dict[str, str]:
        """The environment of the service `name`: each secret goes only to those who need it."""
        withheld = (*_SECRETS, *(_KEYS_OF_PHOTOS if name in _WITHOUT_PHOTOS else ()))
        environment = {key: value for key, value in self.inherited.items() if key not in withheld}
        environment |= {
            "NATS_URL": self.nats_urls[name],
            "TRIPTYCH_SERVICE_TOKEN": self.service_token,
            "PYTHONUNBUFFERED": "1",
            "TRIPTYCH_DATA_DIR": str(self.data_directory),
            "TRIPTYCH_LOG_FORMAT": "console",
            "TRIPTYCH_MODELS_DIR": str(self.models_directory),
            "TRIPTYCH_MEDIA_ROOTS": os.pathsep.join(map(str, self.media_roots)),
        }
        if (metrics := metrics_address(name, self.inherited)) is not None:
            environment[_METRICS_LISTEN] = metrics
        if name != GATEWAY:
            model = {"TRIPTYCH_MODEL": self.models[name]} if name in self.models else {}
            return environment | {"TRIPTYCH_LISTEN": self.addresses[name]} | model
        addresses = {f"TRIPTYCH_{service.upper()}_ADDRESSES": address for service, address in self.addresses.items()}
        return environment | {
            "DATABASE_URL": self.database_url,
            "TRIPTYCH_HTTP_HOST": self.http_host,
            "TRIPTYCH_HTTP_PORT": str(self.http_port),
            **addresses,
        }


def metrics_address(name: str, environment: Mapping[str, str]) -> str | None:
    """Where a process is to serve its metrics, host:port: one port after the other, from the one that was asked for.

    None where nobody has asked, or leaves it to the system.
    """
    host, _, port = environment.get(_METRICS_LISTEN, "").rpartition(":")
    if not port.isdecimal() or port == "0":
        return None
    return f"{host}:{int(port) + (*GRPC_SERVICES, GATEWAY).index(name)}"


def console_scripts() -> dict[str, tuple[str, ...]]:
    """The program of each service: the console script beside this Python.

    Raises:
        StackError: one is not installed.
    """
    folder = Path(sys.executable).parent
    programs = {name: folder / f"triptych-{name}" for name in (*GRPC_SERVICES, GATEWAY)}
    programs[MIGRATE] = folder / "triptych-migrate"
    missing = [path.name for path in programs.values() if not path.is_file()]
    if missing:
        raise StackError(f"Not installed beside {sys.executable}: {', '.join(missing)}. Install triptych's services.")
    return {name: (str(path),) for name, path in programs.items()}


def service_plan(name: str, program: tuple[str, ...], environment: ServiceEnvironment) -> ChildPlan:
    """How to keep the service `name` running: ready by gRPC health check, the gateway by GET /health."""
    if name == GATEWAY:
        is_ready = partial(http_is_healthy, f"http://{environment.http_host}:{environment.http_port}/health")
    else:
        is_ready = partial(grpc_is_serving, environment.addresses[name])
    command = ProcessCommand(
        name=name,
        arguments=program,
        environment=environment.of(name),
        stop_grace_seconds=_STOP_GRACE_SECONDS,
    )
    return ChildPlan(command=command, is_ready=is_ready, ready_deadline_seconds=_READY_DEADLINE_SECONDS)
