"""Kubernetes manifests as kustomize builds them, and what is asked of them."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
OVERLAYS: Final = ROOT / "deploy" / "k8s" / "overlays"
OURS: Final = ("gateway", "embedder", "facedetect", "cluster", "progress")
NAME_LABEL: Final = "app.kubernetes.io/name"
_JOBS: Final = ("CronJob",)
_WORKLOADS: Final = ("Deployment", "StatefulSet", *_JOBS)

Manifest = dict[str, Any]


def build(overlay: Path) -> list[Manifest]:
    """The manifests of an overlay. Raises subprocess.CalledProcessError, whose ``stderr`` says what is wrong."""
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    built = subprocess.run([kubectl, "kustomize", str(overlay)], capture_output=True, text=True, check=True)
    return list(yaml.load_all(built.stdout, Loader=yaml.CSafeLoader))


def called(manifest: Manifest) -> str:
    """What a manifest is called in a complaint."""
    return f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    """The manifests of these kinds."""
    return [one for one in manifests if one.get("kind") in kinds]


def named(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The manifests of a kind, by name."""
    return {one["metadata"]["name"]: one for one in of_kind(manifests, kind)}


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    """What runs pods."""
    return of_kind(manifests, *_WORKLOADS)


def pod_of(workload: Manifest) -> dict[str, Any]:
    """The specification of a workload's pods."""
    spec: dict[str, Any] = _template_of(workload)["spec"]
    return spec


def pod_labels(workload: Manifest) -> dict[str, str]:
    """The labels of a workload's pods."""
    labels: dict[str, str] = _template_of(workload)["metadata"]["labels"]
    return labels


def _template_of(workload: Manifest) -> dict[str, Any]:
    spec = workload["spec"]
    template: dict[str, Any] = (spec["jobTemplate"]["spec"] if workload["kind"] in _JOBS else spec)["template"]
    return template


@dataclass(frozen=True)
class Container:
    """A container of one of our images, and whose it is."""

    workload: Manifest
    spec: dict[str, Any]
    is_init: bool

    @property
    def serves(self) -> bool:
        """Whether it runs on and answers, rather than ending by itself."""
        return not self.is_init and self.workload["kind"] not in _JOBS

    @property
    def image(self) -> tuple[str, str]:
        """Name without repository, and tag."""
        path, _, tag = self.spec["image"].rpartition(":")
        return path.rpartition("/")[2], tag

    def __str__(self) -> str:
        return f"{called(self.workload)}, container {self.spec['name']}"


def our_containers(manifests: list[Manifest]) -> Iterator[Container]:
    """The containers of images that are built here."""
    for workload in workloads(manifests):
        pod = pod_of(workload)
        for is_init, specs in ((True, pod.get("initContainers", [])), (False, pod["containers"])):
            for spec in specs:
                if spec["image"].startswith("triptych/"):
                    yield Container(workload, spec, is_init)
