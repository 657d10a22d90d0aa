"""The compose files against the code: settings, images, health, and who waits for whom."""

import re
from collections.abc import Iterator
from typing import Any, Final

from tools.deployment.code import IMAGES, SECRET_VARIABLES, console_scripts, settings_problems
from tools.deployment.manifests import OURS, ROOT
from tools.settings_table import PROCESSES
from triptych_gateway.settings import DatabaseSettings, MigrationSettings

_SERVERS: Final = ("nats", "postgres")
_OF_THE_DATABASE: Final = {"migrate": MigrationSettings, "first-token": DatabaseSettings, "backup": DatabaseSettings}
"""Commands of the gateway's image that work on the catalogue's database, with their settings."""
_MAKES_SECRETS: Final = "secrets"
_KNOW_THE_SECRETS_OF: Final = {"broker": {"nats"}, "database": {"postgres"}, "gateway": {"gateway", "first-token"}}
"""Volume of secrets → who mounts it, where it is not the one service of that name."""
_DEFAULT: Final = re.compile(r"\$\{\w+:-([^}]*)\}")
# What stands in the files that `make_secrets.py` writes.
_FILES: Final = {
    "NATS_URL": "nats://nats:4222",
    "TRIPTYCH_SERVICE_TOKEN": "sixteen characters or more",
    "DATABASE_URL": "postgresql://postgres/triptych",
    "TRIPTYCH_DATABASE_OWNER_URL": "postgresql://postgres/triptych",
}
_FILES_OF_SERVICES: Final = ("NATS_URL", "TRIPTYCH_SERVICE_TOKEN")
_FILES_OF_GATEWAYS: Final = (*_FILES_OF_SERVICES, "DATABASE_URL")


def composition_problems(compose: dict[str, Any]) -> Iterator[str]:
    """What of compose.yaml does not fit the code."""
    services = compose["services"]
    for name in (*OURS, *_SERVERS):
        if name not in services:
            yield f"there is no service {name}"
            continue
        service = services[name]
        if "memory" not in service.get("deploy", {}).get("resources", {}).get("limits", {}):
            yield f"{name}: has no limit of memory"
        if name in OURS:
            yield from _our_problems(name, service)
    for name, settings in _OF_THE_DATABASE.items():
        files = _FILES if settings is MigrationSettings else {one: _FILES[one] for one in _FILES_OF_GATEWAYS}
        yield from settings_problems(name, settings, {**services[name].get("environment", {}), **files})
    yield from _secrets_problems(services)
    if "migrate" not in services.get("gateway", {}).get("depends_on", {}):
        yield "gateway: does not wait for migrate, and may not migrate itself"
    scripts = console_scripts()
    for name, service in services.items():
        yield from _waiting_problems(name, service, services)
        command = service.get("entrypoint", [""])[0]
        if command.startswith("triptych") and command not in scripts:
            yield f"{name}: no console script {command}"


def _our_problems(name: str, service: dict[str, Any]) -> Iterator[str]:
    environment = {key: _DEFAULT.sub(r"\1", str(value)) for key, value in service.get("environment", {}).items()}
    for variable in SECRET_VARIABLES:
        if variable in environment:
            yield f"{name}: {variable} is not to be in the environment"
    secrets = {one: _FILES[one] for one in (_FILES_OF_GATEWAYS if name == "gateway" else _FILES_OF_SERVICES)}
    yield from settings_problems(name, PROCESSES[name], {**environment, **secrets})
    if f"{name}-secrets:{environment.get('TRIPTYCH_SECRETS_DIR')}:ro" not in service.get("volumes", []):
        yield f"{name}: does not read secrets of its own"
    dockerfile = service.get("build", {}).get("dockerfile", "")
    if (ROOT / dockerfile) != IMAGES / f"{name}.Dockerfile" or not (ROOT / dockerfile).is_file():
        yield f"{name}: is not built by deploy/images/{name}.Dockerfile"
    elif (target := service["build"].get("target")) and f" AS {target}\n" not in (ROOT / dockerfile).read_text():
        yield f"{name}: {dockerfile} has no target {target}"
    if not service.get("read_only") or service.get("cap_drop") != ["ALL"]:
        yield f"{name}: may write into its root, or has capabilities"


def _secrets_problems(services: dict[str, Any]) -> Iterator[str]:
    """Secrets are for those whose they are: the owner of the catalogue is known to nothing that runs on."""
    for name, service in services.items():
        for volume in service.get("volumes", []):
            of, is_secret, _ = volume.partition("-secrets:")
            if is_secret and name not in {_MAKES_SECRETS, *_KNOW_THE_SECRETS_OF.get(of, {of})}:
                yield f"{name}: reads the secrets of {of}"


def _waiting_problems(name: str, service: dict[str, Any], services: dict[str, Any]) -> Iterator[str]:
    """A service that runs on is waited for until it is healthy; one that ends, until it has."""
    for other, how in service.get("depends_on", {}).items():
        runs_on = services.get(other, {}).get("restart") is not None
        wanted = "service_healthy" if runs_on else "service_completed_successfully"
        if other not in services or how.get("condition") != wanted:
            yield f"{name}: waits for {other} by {how.get('condition')}, not by {wanted}"
        elif other in _SERVERS and "test" not in services[other].get("healthcheck", {}):
            yield f"{other}: has no health check"
