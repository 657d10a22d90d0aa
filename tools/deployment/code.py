"""What manifests and images say, against the code: settings, ports, metrics, console scripts."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final
from unittest.mock import patch

from pydantic import ValidationError

from tools.deployment.manifests import (
    OURS,
    ROOT,
    Container,
    Manifest,
    called,
    named,
    of_kind,
    our_containers,
    pod_labels,
    pod_of,
    workloads,
)
from tools.metrics_table import metrics_table
from tools.settings_table import PROCESSES, variable
from triptych_common.rpc.server import LIVE
from triptych_common.settings import ProcessSettings
from triptych_gateway.settings import DatabaseSettings, MigrationSettings

IMAGES: Final = ROOT / "deploy" / "images"
SECRET_VARIABLES: Final = ("DATABASE_URL", "TRIPTYCH_DATABASE_OWNER_URL", "NATS_URL", "TRIPTYCH_SERVICE_TOKEN")
_OF_PYTHON: Final = ("SSL_CERT_FILE",)
"""What no settings class reads, and the interpreter does."""
_OF_THE_DATABASE: Final = (["triptych-gateway-backup"],)
_SCALED: Final = ("embedder", "facedetect")
_SOME_SECRET: Final = {
    "DATABASE_URL": "postgresql://somebody:hush@postgres/triptych",
    "TRIPTYCH_DATABASE_OWNER_URL": "postgresql://owner:hush@postgres/triptych",
    "NATS_URL": "nats://nats:4222",
    "TRIPTYCH_SERVICE_TOKEN": "sixteen characters or more",
}


def settings_class(process: str, command: list[str]) -> type[ProcessSettings]:
    """Settings of what a container runs."""
    if command[:1] == ["triptych-migrate"]:
        return MigrationSettings
    return DatabaseSettings if command[:1] in _OF_THE_DATABASE else PROCESSES[process]


def settings_problems(where: str, settings: type[ProcessSettings], environment: Mapping[str, str]) -> Iterator[str]:
    """Variables that no setting reads, and values that it refuses. Secrets have some value."""
    known = {variable(name, field) for name, field in settings.model_fields.items()} | set(_OF_PYTHON)
    for name in sorted(environment.keys() - known):
        yield f"{where}: {settings.__name__} reads no {name}"
    try:
        with patch.dict(os.environ, environment, clear=True):
            settings()
    except (ValidationError, ValueError) as error:
        yield f"{where}: {error}"


def environment_problems(manifests: list[Manifest]) -> Iterator[str]:
    """Environment of our containers against the settings classes; secrets come by reference."""
    for container in our_containers(manifests):
        process, _ = container.image
        if process not in PROCESSES:
            continue
        entries = {one["name"]: one for one in container.spec.get("env", [])}
        for name in SECRET_VARIABLES:
            if name in entries and "secretKeyRef" not in entries[name].get("valueFrom", {}):
                yield f"{container}: {name} is not a reference to a secret"
        if "TRIPTYCH_SERVICE_TOKEN" not in entries and container.serves:
            yield f"{container}: answers whoever reaches it, without TRIPTYCH_SERVICE_TOKEN"
        user = entries.get("NATS_URL", {}).get("valueFrom", {}).get("secretKeyRef", {}).get("key")
        if user is not None and user != f"{container.workload['metadata']['name']}-url":
            yield f"{container}: speaks to NATS as somebody else, by the key {user}"
        values = {name: one.get("value", _SOME_SECRET.get(name, "")) for name, one in entries.items()}
        yield from settings_problems(str(container), settings_class(process, container.spec.get("command", [])), values)
    for manifest in of_kind(manifests, "Secret"):
        yield f"{called(manifest)}: secrets are referred to, never part of the manifests"


def port_problems(manifests: list[Manifest]) -> Iterator[str]:
    """Ports that processes listen on, their containers' and services' ports, probes, and the gateway's addresses."""
    services = named(manifests, "Service")
    for container in our_containers(manifests):
        process, _ = container.image
        if not container.serves or process not in PROCESSES:
            continue
        env = {one["name"]: one.get("value", "") for one in container.spec.get("env", [])}
        listens = int(env.get("TRIPTYCH_HTTP_PORT") or env.get("TRIPTYCH_LISTEN", ":0").rpartition(":")[2])
        ports = {one["name"]: one["containerPort"] for one in container.spec["ports"]}
        main = "http" if process == "gateway" else "grpc"
        if listens != _default_port(process) or ports.get(main) != listens:
            yield f"{container}: listens on {listens}, names {ports.get(main)}, and {_default_port(process)} is usual"
        if env.get("TRIPTYCH_METRICS_LISTEN", "").rpartition(":")[2] != str(ports.get("metrics")):
            yield f"{container}: metrics are not served at the port that is named so"
        yield from _probe_problems(container, main, listens)
        yield from _service_problems(container, services.get(process), main)
    for container in our_containers(manifests):
        for one in container.spec.get("env", []):
            if one["name"].endswith("_ADDRESSES"):
                yield from _address_problems(container, one["value"], services)


def _default_port(process: str) -> int:
    fields = PROCESSES[process].model_fields
    return int(str(fields["http_port"].default if "http_port" in fields else fields["listen"].default).split(":")[-1])


def _probe_problems(container: Container, main: str, port: int) -> Iterator[str]:
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.spec.get(name, {})
        asked = probe.get("grpc", {}).get("port") if main == "grpc" else probe.get("httpGet", {}).get("port")
        # Only whether it takes work may depend on what it waits for: a process that is started anew waits no less.
        if main == "grpc" and probe.get("grpc", {}).get("service") != (None if name == "readinessProbe" else LIVE):
            yield f"{container}: {name} asks for something else than {'work' if name == 'readinessProbe' else 'life'}"
        if asked not in (port, main) or (main == "http" and probe["httpGet"]["path"] != "/health"):
            yield f"{container}: {name} does not ask the process"


def _service_problems(container: Container, service: Manifest | None, main: str) -> Iterator[str]:
    if service is None:
        yield f"{container}: no Service leads to it"
        return
    if service["spec"]["selector"].items() - pod_labels(container.workload).items():
        yield f"{called(service)}: selects no pod of {called(container.workload)}"
    if [port["targetPort"] for port in service["spec"]["ports"]] != [main]:
        yield f"{called(service)}: does not lead to the port {main}"
    if main == "grpc" and service["spec"].get("clusterIP") != "None":
        yield f"{called(service)}: is not headless, so the gateway sees one replica"


def _address_problems(container: Container, addresses: str, services: Mapping[str, Manifest]) -> Iterator[str]:
    for address in addresses.split(","):
        host, _, port = address.partition(":")
        offered = [one["port"] for one in services[host]["spec"]["ports"]] if host in services else []
        if not port.isdecimal() or int(port) not in offered:
            yield f"{container}: no Service answers at {address}"


def image_problems(manifests: list[Manifest]) -> Iterator[str]:
    """Images of ours against the Dockerfiles, and commands against the console scripts."""
    scripts = console_scripts()
    for container in our_containers(manifests):
        name, tag = container.image
        dockerfile = IMAGES / f"{name}.Dockerfile"
        if not dockerfile.is_file():
            yield f"{container}: nothing builds {container.spec['image']}"
            continue
        text = dockerfile.read_text()
        version = re.findall(r"^ARG VERSION=(.+)$", text, flags=re.MULTILINE)[0]
        target = tag.removeprefix(version).removeprefix("-")
        if not tag.startswith(version) or (target and f" AS {target}\n" not in text):
            yield f"{container}: {dockerfile.name} builds no {tag}"
        wants_gpu = "nvidia.com/gpu" in container.spec.get("resources", {}).get("limits", {})
        if wants_gpu != (target == "gpu"):
            yield f"{container}: the image for GPUs and the limit nvidia.com/gpu belong together"
        yield from (
            f"{container}: no console script {one}"
            for one in container.spec.get("command", [])[:1]
            if one not in scripts
        )


def console_scripts() -> set[str]:
    """Console scripts of every distribution."""
    files = [path for pattern in ("*/pyproject.toml", "services/*/pyproject.toml") for path in ROOT.glob(pattern)]
    return {name for file in files for name in tomllib.loads(file.read_text())["project"].get("scripts", {})}


def scaling_problems(manifests: list[Manifest]) -> Iterator[str]:
    """Queries and metrics of autoscalers against the metrics that the gateway has, and what they scale."""
    known = set(re.findall(r"^\| `(\w+)` \| gateway \|", metrics_table(), flags=re.MULTILINE))
    deployments = named(manifests, "Deployment")
    for manifest in of_kind(manifests, "ScaledObject", "HorizontalPodAutoscaler"):
        target = manifest["spec"]["scaleTargetRef"]["name"]
        if target not in deployments or target not in _SCALED:
            yield f"{called(manifest)}: {target} is no Deployment that is scaled"
        elif "replicas" in deployments[target]["spec"]:
            yield f"{called(deployments[target])}: replicas are the autoscaler's, and are set"
        asked = list(_asked_metrics(manifest))
        if not asked:
            yield f"{called(manifest)}: asks for no metric"
        for metric, service in asked:
            if metric not in known:
                yield f"{called(manifest)}: the gateway has no metric {metric}"
            if service != target:
                yield f"{called(manifest)}: scales {target} by what waits for {service}"


def _asked_metrics(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Each metric that an autoscaler asks for, with the service that it asks about."""
    for trigger in manifest["spec"].get("triggers", []):
        query = trigger.get("metadata", {}).get("query", "")
        yield from re.findall(r'(\w+)\{service="(\w+)"\}', query)
        for name in re.findall(r"\btriptych_\w+\b(?!\{)", query):
            yield name, "any service"
    for metric in manifest["spec"].get("metrics", []):
        asked = metric["external"]["metric"]
        yield asked["name"], asked["selector"]["matchLabels"]["service"]


def hardening_problems(manifests: list[Manifest]) -> Iterator[str]:
    """What every pod has: no token, no root, nothing to write into, requests; and what keeps several of them apart."""
    accounts, budgets = named(manifests, "ServiceAccount"), named(manifests, "PodDisruptionBudget")
    for workload in workloads(manifests):
        pod, name = pod_of(workload), workload["metadata"]["name"]
        account = accounts.get(pod.get("serviceAccountName", ""), {})
        if (
            pod.get("automountServiceAccountToken") is not False
            or account.get("automountServiceAccountToken") is not False
        ):
            yield f"{called(workload)}: has a service account's token, or no account of its own"
        if not pod.get("securityContext", {}).get("runAsNonRoot"):
            yield f"{called(workload)}: may run as root"
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield from _container_problems(called(workload), container)
        if name in OURS and (name not in budgets or not pod.get("topologySpreadConstraints")):
            yield f"{called(workload)}: has no PodDisruptionBudget, or its pods are not spread"


def _container_problems(where: str, container: dict[str, Any]) -> Iterator[str]:
    security, resources = container.get("securityContext", {}), container.get("resources", {})
    if not security.get("readOnlyRootFilesystem") or security.get("allowPrivilegeEscalation") is not False:
        yield f"{where}: container {container['name']} may write into its root, or gain rights"
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
        yield f"{where}: container {container['name']} has no requests, or no limit of memory"


def replication_problems(manifests: list[Manifest]) -> Iterator[str]:
    """Replicas of the progress stream against the NATS servers that could keep them."""
    servers = named(manifests, "StatefulSet").get("nats", {}).get("spec", {}).get("replicas", 0)
    for container in our_containers(manifests):
        env = {one["name"]: one.get("value", "") for one in container.spec.get("env", [])}
        if container.image[0] == "progress" and int(env.get("TRIPTYCH_NATS_REPLICAS", "1")) != servers:
            yield f"{container}: the stream has {env.get('TRIPTYCH_NATS_REPLICAS', '1')} replicas on {servers} servers"
