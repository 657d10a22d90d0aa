"""`make check-deploy` passes what is there, and finds what would go wrong in a cluster or under Compose."""

import copy
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.check_deploy import problems_of
from tools.deployment.backups import RUNBOOK, backup_problems, compose_backup_problems
from tools.deployment.code import IMAGES
from tools.deployment.composition import composition_problems
from tools.deployment.dockerfiles import dockerfile_problems, substitute_problems
from tools.deployment.manifests import OVERLAYS, ROOT, Manifest, build, named, pod_of
from tools.deployment.networks import arrows_of_the_architecture
from tools.deployment.schemas import compose_problems

OVERLAY_NAMES = sorted(path.name for path in OVERLAYS.iterdir())


@pytest.fixture(scope="module")
def built() -> dict[str, list[Manifest]]:
    return {name: build(OVERLAYS / name) for name in OVERLAY_NAMES}


@pytest.fixture
def gpu(built: dict[str, list[Manifest]]) -> list[Manifest]:
    """The overlay that has most of everything; a test's own."""
    return copy.deepcopy(built["gpu"])


@pytest.fixture
def managed(built: dict[str, list[Manifest]]) -> list[Manifest]:
    return copy.deepcopy(built["managed"])


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.mark.parametrize("name", OVERLAY_NAMES)
def test_every_overlay_is_in_order(name: str, built: dict[str, list[Manifest]]) -> None:
    assert list(problems_of(built[name])) == []


def test_object_storage_opens_one_way_out_for_those_who_read_photos(tmp_path: Path) -> None:
    manifests = build_with(tmp_path, "managed", "object-storage")

    readers = ("gateway", "embedder", "facedetect")
    assert sorted(problems_of(manifests)) == [f"{name} may speak to anybody at 443" for name in sorted(readers)]
    for name in readers:
        reference = variable(manifests, name, "TRIPTYCH_MEDIA_ROOTS")["valueFrom"]["secretKeyRef"]
        assert reference == {"name": "triptych-object-storage", "key": "media-roots"}


def test_a_certificate_by_cert_manager_is_for_every_server(tmp_path: Path) -> None:
    manifests = build_with(tmp_path, "production", "cert-manager")
    assert list(problems_of(manifests)) == []

    named(manifests, "Certificate")["nats"]["spec"]["dnsNames"].pop()
    assert list(problems_of(manifests)) == ["Certificate nats: is not for nats-2.nats"]


def build_with(folder: Path, overlay: str, component: str) -> list[Manifest]:
    """An overlay of somebody's own, with a component added."""
    places = {name: os.path.relpath(OVERLAYS.parent / name, folder.resolve()) for name in ("overlays", "components")}
    kustomization = {
        "resources": [f"{places['overlays']}/{overlay}"],
        "components": [f"{places['components']}/{component}"],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return build(folder)


def deployment(manifests: list[Manifest], name: str) -> Manifest:
    return named(manifests, "Deployment")[name]


def container(manifests: list[Manifest], name: str) -> dict[str, Any]:
    found: dict[str, Any] = pod_of(deployment(manifests, name))["containers"][0]
    return found


def variable(manifests: list[Manifest], name: str, variable_name: str) -> dict[str, Any]:
    entries: list[dict[str, Any]] = container(manifests, name)["env"]
    return next(one for one in entries if one["name"] == variable_name)


def job(manifests: list[Manifest]) -> dict[str, Any]:
    return pod_of(named(manifests, "CronJob")["backup"])


def query(manifests: list[Manifest], name: str) -> dict[str, Any]:
    found: dict[str, Any] = named(manifests, "ScaledObject")[name]["spec"]["triggers"][0]["metadata"]
    return found


def policy(manifests: list[Manifest], name: str) -> dict[str, Any]:
    found: dict[str, Any] = named(manifests, "NetworkPolicy")[name]["spec"]
    return found


def without(manifests: list[Manifest], kind: str, name: str) -> None:
    manifests.remove(named(manifests, kind)[name])


def nats_configuration(manifests: list[Manifest]) -> str:
    text: str = named(manifests, "ConfigMap")["nats"]["data"]["nats.conf"]
    return text


def configure_nats(manifests: list[Manifest], configuration: str) -> None:
    named(manifests, "ConfigMap")["nats"]["data"]["nats.conf"] = configuration


def without_encryption(manifests: list[Manifest], which: int) -> str:
    text = nats_configuration(manifests)
    block = list(re.finditer(r"tls \{[^}]*\}", text))[which]
    return text[: block.start()] + text[block.end() :]


def let_embedder_ask_cluster(manifests: list[Manifest]) -> None:
    policy(manifests, "cluster")["ingress"][0]["from"].append({"podSelector": {}})
    to_cluster = {"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "cluster"}}}]}
    policy(manifests, "embedder")["egress"].append(to_cluster)


def migration(manifests: list[Manifest]) -> dict[str, Any]:
    found: dict[str, Any] = pod_of(deployment(manifests, "gateway"))["initContainers"][0]
    return found


def refer_to_owner(entry: dict[str, Any]) -> None:
    entry["valueFrom"]["secretKeyRef"]["name"] = "triptych-postgres-app"


def managed_role(manifests: list[Manifest]) -> dict[str, Any]:
    found: dict[str, Any] = named(manifests, "Cluster")["triptych-postgres"]["spec"]["managed"]["roles"][0]
    return found


WRONG: dict[str, tuple[Callable[[list[Manifest]], Any], str]] = {
    "a field of the wrong type": (
        lambda all_: deployment(all_, "gateway")["spec"].update(replicas="two"),
        "Deployment gateway",
    ),
    "a field that there is not": (
        lambda all_: deployment(all_, "gateway")["spec"].update(replica=2),
        "Deployment gateway",
    ),
    "a kind without a schema": (
        lambda all_: all_.append({"apiVersion": "v9", "kind": "Wish", "metadata": {"name": "x"}}),
        "no schema is known for v9",
    ),
    "a field that KEDA has not got": (
        lambda all_: query(all_, "embedder").update(treshold="8"),
        "ScaledObject embedder: spec.triggers.0.metadata.treshold",
    ),
    "a number where KEDA takes strings": (
        lambda all_: query(all_, "embedder").update(threshold=8),
        "ScaledObject embedder: spec.triggers.0.metadata.threshold",
    ),
    "a database cluster without storage": (
        lambda all_: named(all_, "Cluster")["triptych-postgres"]["spec"].pop("storage"),
        "Cluster triptych-postgres: spec.storage",
    ),
    "a variable that no setting reads": (
        lambda all_: container(all_, "embedder")["env"].append({"name": "TRIPTYCH_DEVISE", "value": "cuda"}),
        "EmbedderSettings reads no TRIPTYCH_DEVISE",
    ),
    "a value that its setting refuses": (
        lambda all_: variable(all_, "embedder", "TRIPTYCH_DEVICE").update(value="gpu"),
        "is no device",
    ),
    "a required variable that is not there": (
        lambda all_: container(all_, "gateway")["env"].remove(variable(all_, "gateway", "DATABASE_URL")),
        "DATABASE_URL",
    ),
    "a password in the manifest": (
        lambda all_: container(all_, "embedder").update(env=[{"name": "NATS_URL", "value": "nats://a:b@nats"}]),
        "NATS_URL is not a reference to a secret",
    ),
    "a secret in the manifests": (
        lambda all_: all_.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "type": "Opaque"}),
        "Secret x",
    ),
    "a port that nobody listens on": (
        lambda all_: variable(all_, "cluster", "TRIPTYCH_LISTEN").update(value="0.0.0.0:50099"),
        "listens on 50099",
    ),
    "metrics elsewhere": (
        lambda all_: variable(all_, "cluster", "TRIPTYCH_METRICS_LISTEN").update(value="0.0.0.0:9091"),
        "metrics are not served",
    ),
    "an address without a service": (
        lambda all_: variable(all_, "gateway", "TRIPTYCH_CLUSTER_ADDRESSES").update(value="clusterer:50053"),
        "no Service answers at clusterer:50053",
    ),
    "a probe of another port": (
        lambda all_: container(all_, "progress")["livenessProbe"].update(grpc={"port": 1, "service": "live"}),
        "livenessProbe does not ask the process",
    ),
    "a process that is started anew while it waits for another": (
        lambda all_: container(all_, "progress")["livenessProbe"].update(grpc={"port": 50054}),
        "livenessProbe asks for something else than life",
    ),
    "work for a process that only lives": (
        lambda all_: container(all_, "embedder")["readinessProbe"].update(grpc={"port": 50051, "service": "live"}),
        "readinessProbe asks for something else than work",
    ),
    "a service that shows one replica": (
        lambda all_: named(all_, "Service")["embedder"]["spec"].pop("clusterIP"),
        "Service embedder: is not headless",
    ),
    "a service that selects nothing": (
        lambda all_: named(all_, "Service")["embedder"]["spec"].update(selector={"app.kubernetes.io/name": "clip"}),
        "Service embedder: selects no pod",
    ),
    "an image that nothing builds": (
        lambda all_: container(all_, "cluster").update(image="triptych/clusterer:0.1.0"),
        "nothing builds triptych/clusterer:0.1.0",
    ),
    "a target that there is not": (
        lambda all_: container(all_, "cluster").update(image="triptych/cluster:0.1.0-gpu"),
        "cluster.Dockerfile builds no 0.1.0-gpu",
    ),
    "a GPU without its image": (
        lambda all_: container(all_, "embedder").update(image="triptych/embedder:0.1.0"),
        "the image for GPUs and the limit nvidia.com/gpu belong together",
    ),
    "a command that there is not": (
        lambda all_: migration(all_).update(command=["triptych-upgrade"]),
        "no console script triptych-upgrade",
    ),
    "a metric that there is not": (
        lambda all_: query(all_, "embedder").update(query='sum(triptych_shards_queued{service="embedder"})'),
        "the gateway has no metric triptych_shards_queued",
    ),
    "the other service's metric": (
        lambda all_: query(all_, "embedder").update(query='sum(triptych_shards_waiting{service="facedetect"})'),
        "scales embedder by what waits for facedetect",
    ),
    "replicas beside an autoscaler": (
        lambda all_: deployment(all_, "embedder")["spec"].update(replicas=3),
        "replicas are the autoscaler's",
    ),
    "a service account's token": (
        lambda all_: pod_of(deployment(all_, "gateway")).pop("automountServiceAccountToken"),
        "Deployment gateway: has a service account's token",
    ),
    "root": (
        lambda all_: pod_of(deployment(all_, "gateway"))["securityContext"].pop("runAsNonRoot"),
        "Deployment gateway: may run as root",
    ),
    "a root that can be written to": (
        lambda all_: container(all_, "gateway")["securityContext"].pop("readOnlyRootFilesystem"),
        "Deployment gateway: container gateway may write",
    ),
    "no limit of memory": (
        lambda all_: container(all_, "gateway")["resources"].pop("limits"),
        "Deployment gateway: container gateway has no requests, or no limit",
    ),
    "no budget for disruptions": (
        lambda all_: without(all_, "PodDisruptionBudget", "embedder"),
        "Deployment embedder: has no PodDisruptionBudget",
    ),
    "a stream with fewer replicas than servers": (
        lambda all_: container(all_, "progress")["env"].remove(variable(all_, "progress", "TRIPTYCH_NATS_REPLICAS")),
        "1 replicas on 3 servers",
    ),
    "a variable that NATS is not given": (
        lambda all_: configure_nats(all_, "authorization { user: gateway, password: $NATS_PASSWROD }"),
        "ConfigMap nats: ",
    ),
    "a variable where NATS fills in none": (
        lambda all_: configure_nats(all_, 'server_name: "a-$NATS_PASSWORD_GATEWAY"'),
        "NATS fills in no variable inside of a string",
    ),
    "a worker that may publish more than its own": (
        lambda all_: configure_nats(all_, nats_configuration(all_).replace("progress.v1.*.training", "progress.v1.>")),
        "lets in others than",
    ),
    "a worker that speaks to NATS as another": (
        lambda all_: variable(all_, "embedder", "NATS_URL")["valueFrom"]["secretKeyRef"].update(key="gateway-url"),
        "speaks to NATS as somebody else, by the key gateway-url",
    ),
    "NATS without TLS for clients": (
        lambda all_: configure_nats(all_, without_encryption(all_, 0)),
        "StatefulSet nats: is spoken to without TLS",
    ),
    "NATS without TLS between servers": (
        lambda all_: configure_nats(all_, without_encryption(all_, 1)),
        "StatefulSet nats: is spoken to without TLS",
    ),
    "a certificate that is of no secret": (
        lambda all_: configure_nats(all_, nats_configuration(all_).replace("/etc/nats-tls/ca.crt", "/etc/ca.crt")),
        "StatefulSet nats: /etc/ca.crt is of no secret",
    ),
    "a client that does not know the authority": (
        lambda all_: container(all_, "progress")["env"].remove(variable(all_, "progress", "SSL_CERT_FILE")),
        "Deployment progress, container progress: does not know the authority",
    ),
    "a backup that does not know the authority": (
        lambda all_: job(all_)["containers"][0]["volumeMounts"].pop(),
        "CronJob backup, container backup: does not know the authority",
    ),
    "a service that answers everybody": (
        lambda all_: container(all_, "cluster")["env"].remove(variable(all_, "cluster", "TRIPTYCH_SERVICE_TOKEN")),
        "answers whoever reaches it",
    ),
    "an arrow that is not let through": (
        lambda all_: policy(all_, "nats").update(ingress=[]),
        "embedder → nats:4222 is not let through",
    ),
    "an arrow too many": (
        let_embedder_ask_cluster,
        "embedder → cluster:50053 is let through, and is no arrow",
    ),
    "a service that anybody may ask": (
        lambda all_: policy(all_, "embedder").update(ingress=[{"ports": [{"port": 50051}]}]),
        "anywhere → embedder:50051 is let through",
    ),
    "a backup that the database does not let in": (
        lambda all_: without(all_, "NetworkPolicy", "backup-database"),
        "backup → postgres:5432 is not let through",
    ),
    "a backup with its password in the manifest": (
        lambda all_: job(all_)["containers"][0].update(env=[{"name": "DATABASE_URL", "value": "postgresql://a:b@c/d"}]),
        "CronJob backup, container backup: DATABASE_URL is not a reference to a secret",
    ),
    "a backup as root": (
        lambda all_: job(all_)["securityContext"].pop("runAsNonRoot"),
        "CronJob backup: may run as root",
    ),
    "a backup by a command that there is not": (
        lambda all_: job(all_)["containers"][0].update(command=["triptych-dump"]),
        "no console script triptych-dump",
    ),
    "a gateway that is the owner": (
        lambda all_: refer_to_owner(variable(all_, "gateway", "DATABASE_URL")),
        "Deployment gateway, container gateway: works as the owner of the catalogue",
    ),
    "an owner whom the gateway knows": (
        lambda all_: container(all_, "gateway")["env"].append(migration(all_)["env"][0]),
        "GatewaySettings reads no TRIPTYCH_DATABASE_OWNER_URL",
    ),
    "a migration as who may change rows alone": (
        lambda all_: migration(all_)["env"].pop(0),
        "Deployment gateway, container gateway: nobody migrates as the owner before it",
    ),
    "a migration for another role": (
        lambda all_: refer_to_owner(migration(all_)["env"][1]),
        "container migrate: gives its rights to another role",
    ),
    "a backup that could not be put back": (
        lambda all_: job(all_)["containers"][0].update(env=[variable(all_, "gateway", "DATABASE_URL")]),
        "CronJob backup, container backup: is not the owner",
    ),
    "an operator that gives another password": (
        lambda all_: managed_role(all_).update(passwordSecret={"name": "triptych-postgres-app"}),
        "triptych_gateway has not the password of the gateway's secret",
    ),
    "a role that would make tables among others": (
        lambda all_: managed_role(all_).update(name="somebody"),
        "somebody is not told where it makes tables that are searched",
    ),
    "a service that may speak to anybody": (
        lambda all_: policy(all_, "embedder")["egress"].append({"ports": [{"port": 443}]}),
        "embedder may speak to anybody at 443",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found(what: str, gpu: list[Manifest]) -> None:
    spoil, complaint = WRONG[what]

    spoil(gpu)

    assert any(complaint in problem for problem in problems_of(gpu)), list(problems_of(gpu))


def test_the_other_autoscaler_is_checked_too(managed: list[Manifest]) -> None:
    autoscaler = named(managed, "HorizontalPodAutoscaler")["facedetect"]
    autoscaler["spec"]["metrics"][0]["external"]["metric"]["name"] = "shards"

    assert any("the gateway has no metric shards" in problem for problem in problems_of(managed))


def test_a_database_elsewhere_must_be_reachable(managed: list[Manifest]) -> None:
    without(managed, "NetworkPolicy", "external-database")

    assert list(problems_of(managed)) == [
        f"{who} → postgres:5432 is not let through, to a database elsewhere" for who in ("backup", "gateway")
    ]


def test_the_architecture_has_arrows() -> None:
    assert {str(arrow) for arrow in arrows_of_the_architecture()} >= {
        "gateway → embedder:50051",
        "progress → nats:4222",
    }


WRONG_COMPOSE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a variable that no setting reads": (
        lambda services: services["embedder"]["environment"].update(TRIPTYCH_ROOTS="/photos"),
        "EmbedderSettings reads no TRIPTYCH_ROOTS",
    ),
    "a password in the environment": (
        lambda services: services["gateway"]["environment"].update(DATABASE_URL="postgresql://a:b@c/d"),
        "DATABASE_URL is not to be in the environment",
    ),
    "secrets of another": (
        lambda services: services["embedder"].update(volumes=["gateway-secrets:/run/triptych:ro"]),
        "embedder: does not read secrets of its own",
    ),
    "the owner of the catalogue, known to what runs on": (
        lambda services: services["gateway"]["volumes"].append("migrate-secrets:/run/owner:ro"),
        "gateway: reads the secrets of migrate",
    ),
    "a gateway that begins before the schema is there": (
        lambda services: services["gateway"]["depends_on"].pop("migrate"),
        "gateway: does not wait for migrate",
    ),
    "a migration that is waited for until it runs": (
        lambda services: services["gateway"]["depends_on"].update(migrate={"condition": "service_started"}),
        "gateway: waits for migrate by service_started, not by service_completed_successfully",
    ),
    "another image": (
        lambda services: services["cluster"]["build"].update(dockerfile="deploy/images/progress.Dockerfile"),
        "cluster: is not built by",
    ),
    "a target that there is not": (
        lambda services: services["embedder"]["build"].update(target="tpu"),
        "has no target tpu",
    ),
    "a command that there is not": (
        lambda services: services["first-token"].update(entrypoint=["triptych-token", "first"]),
        "first-token: no console script triptych-token",
    ),
    "a variable that a command does not read": (
        lambda services: services["backup"]["environment"].update(BACKUPS="/backups"),
        "backup: DatabaseSettings reads no BACKUPS",
    ),
    "waiting for less than health": (
        lambda services: services["gateway"]["depends_on"].update(postgres={"condition": "service_started"}),
        "gateway: waits for postgres by service_started",
    ),
    "a server without a health check": (lambda services: services["nats"].pop("healthcheck"), "nats: has no health"),
    "no limit of memory": (lambda services: services["nats"].pop("deploy"), "nats: has no limit of memory"),
    "a root that can be written to": (lambda services: services["cluster"].pop("read_only"), "cluster: may write"),
    "a service that is missing": (lambda services: services.pop("progress"), "there is no service progress"),
}


@pytest.mark.parametrize("what", WRONG_COMPOSE)
def test_what_is_wrong_under_compose_is_found(what: str, compose: Any) -> None:
    spoil, complaint = WRONG_COMPOSE[what]
    assert list(composition_problems(compose)) == []

    spoil(compose["services"])

    assert any(complaint in problem for problem in composition_problems(compose))


def test_a_compose_file_keeps_to_its_specification(compose: Any) -> None:
    assert list(compose_problems(compose)) == []

    compose["services"]["nats"]["comand"] = []

    assert any("comand" in problem for problem in compose_problems(compose))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("USER 10001:10001\n", "", "progress.Dockerfile: no line that runs as nobody in particular"),
        ("EXPOSE 50054", "EXPOSE 50055", "progress.Dockerfile: does not expose 50054"),
        ('CMD ["triptych-health"]', 'CMD ["true"]', "progress.Dockerfile: no line that has a health check"),
        ("WORKDIR /source", "RUN cd /source", "DL3003"),
        ("--require-hashes --requirement", "--requirement", "installs files whose hashes nobody asks for: pip install"),
        (
            "python tools/install_parts.py",
            "pip wheel",
            "progress.Dockerfile: no line that installs what constraints.txt locks",
        ),
    ],
)
def test_what_is_wrong_with_a_dockerfile_is_found(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    for path in IMAGES.glob("*.Dockerfile"):
        (tmp_path / path.name).write_text(path.read_text())
    assert list(dockerfile_problems(tmp_path)) == []
    text = (tmp_path / "progress.Dockerfile").read_text()
    assert old in text

    (tmp_path / "progress.Dockerfile").write_text(text.replace(old, new))

    assert any(complaint in problem for problem in dockerfile_problems(tmp_path))


def test_what_images_install_in_place_of_a_package_is_of_its_version() -> None:
    assert list(substitute_problems()) == []
    assert list(substitute_problems("opencv-python==4.0\n"))
    assert list(substitute_problems("opencv-python==4.0 \\\nopencv-python-headless==4.1\n"))


def test_what_the_runbook_tells_to_restore_is_what_the_command_takes(gpu: list[Manifest]) -> None:
    runbook = RUNBOOK.read_text()
    assert [*backup_problems(gpu, runbook), *compose_backup_problems(runbook)] == []

    wrong = runbook.replace('"--replace"]', '"--overwrite"]')
    assert any("Job restore" in problem and "--overwrite" in problem for problem in backup_problems(gpu, wrong))
    wrong = runbook.replace("jq '.spec.template", "jq '.spec.jobTemplate")
    assert list(backup_problems(gpu, wrong)) == ["operations.md: does not tell once how a Job restores"]
    wrong = runbook.replace("backup create /backups --keep 14", "backup create /backups --keep all")
    assert any("--keep: at least 1" in problem for problem in compose_backup_problems(wrong))
    wrong = runbook.replace("run --rm backup restore", "run --rm restore")
    assert list(compose_backup_problems(wrong)) == [
        "operations.md: does not tell how a backup is made and restored under Compose"
    ]
    job(gpu)["containers"][0]["args"] = ["create"]
    assert any("CronJob backup: " in problem and "directory" in problem for problem in backup_problems(gpu, runbook))
