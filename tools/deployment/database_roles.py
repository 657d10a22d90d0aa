"""Who is the owner of the catalogue in the manifests, and who changes its rows alone."""

from collections.abc import Iterator
from typing import Any, Final

from tools.deployment.manifests import Container, Manifest, called, of_kind, our_containers
from triptych_gateway.catalog.runtime_role import search_path_statement

_OWNER: Final = "TRIPTYCH_DATABASE_OWNER_URL"
_ROLE: Final = "DATABASE_URL"
_MIGRATE: Final = "triptych-migrate"
_BACKUP: Final = "triptych-gateway-backup"

Reference = tuple[str, str]
"""Name of a secret, and key in it."""


def role_problems(manifests: list[Manifest]) -> Iterator[str]:
    """What lets something that runs on be the owner, or leaves those without it who need it."""
    containers = list(our_containers(manifests))
    owners = {reference for one in containers if (reference := _reference(one, _OWNER)) is not None}
    for container in containers:
        reference, command = _reference(container, _ROLE), container.spec.get("command", [""])[0]
        if command == _BACKUP and reference not in owners:
            yield f"{container}: is not the owner, and could not put back what it makes"
        if command not in (_BACKUP, _MIGRATE) and reference in owners:
            yield f"{container}: works as the owner of the catalogue"
        if container.serves and container.image[0] == "gateway":
            yield from _migration_problems(container, [one for one in containers if one.workload is container.workload])
            yield from _operator_problems(container, of_kind(manifests, "Cluster"))


def _migration_problems(gateway: Container, containers: list[Container]) -> Iterator[str]:
    before = [one for one in containers if one.is_init and one.spec.get("command") == [_MIGRATE]]
    if not any(_reference(one, _OWNER) for one in before):
        yield f"{gateway}: nobody migrates as the owner before it"
    for one in before:
        if _reference(one, _ROLE) != _reference(gateway, _ROLE):
            yield f"{one}: gives its rights to another role than that of the gateway"


def _operator_problems(gateway: Container, clusters: list[Manifest]) -> Iterator[str]:
    """The owner that CloudNativePG makes may make no roles: its operator makes that of gateways."""
    for cluster in clusters:
        first = cluster["spec"]["bootstrap"]["initdb"]
        for role in cluster["spec"]["managed"]["roles"]:
            if search_path_statement(role["name"], first["database"]) not in first["postInitApplicationSQL"]:
                yield f"{called(cluster)}: {role['name']} is not told where it makes tables that are searched"
            if role["passwordSecret"]["name"] != (_reference(gateway, _ROLE) or ("",))[0]:
                yield f"{called(cluster)}: {role['name']} has not the password of the gateway's secret"


def _reference(container: Container, variable: str) -> Reference | None:
    entries: list[dict[str, Any]] = container.spec.get("env", [])
    for entry in entries:
        key = entry.get("valueFrom", {}).get("secretKeyRef")
        if entry["name"] == variable and key is not None:
            return key["name"], key["key"]
    return None
