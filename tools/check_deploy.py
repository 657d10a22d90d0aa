"""Checks everything in deploy/ and compose.yaml, offline: `make check-deploy`.

python -m tools.check_deploy
"""

import subprocess
import sys
from collections.abc import Iterator

import yaml

from tools.deployment.backups import backup_problems, compose_backup_problems
from tools.deployment.broker import broker_problems
from tools.deployment.code import (
    environment_problems,
    hardening_problems,
    image_problems,
    port_problems,
    replication_problems,
    scaling_problems,
)
from tools.deployment.composition import composition_problems
from tools.deployment.database_roles import role_problems
from tools.deployment.dockerfiles import dockerfile_problems, substitute_problems
from tools.deployment.manifests import OVERLAYS, ROOT, Manifest, build
from tools.deployment.monitoring import find_promtool, monitoring_problems, promtool_problems
from tools.deployment.networks import arrows_of_the_architecture, network_problems
from tools.deployment.schemas import compose_problems, manifest_problems


def problems_of(manifests: list[Manifest]) -> Iterator[str]:
    """What is wrong with the manifests of one overlay."""
    for check in (
        environment_problems,
        port_problems,
        image_problems,
        scaling_problems,
        hardening_problems,
        replication_problems,
        broker_problems,
        role_problems,
        backup_problems,
    ):
        yield from check(manifests)
    yield from network_problems(manifests, arrows_of_the_architecture())
    yield from manifest_problems(manifests)


def problems() -> Iterator[str]:
    """What is wrong anywhere."""
    for overlay in sorted(path for path in OVERLAYS.iterdir() if path.is_dir()):
        try:
            manifests = build(overlay)
        except subprocess.CalledProcessError as error:
            yield f"{overlay.name}: {error.stderr.strip()}"
            continue
        yield from (f"{overlay.name}: {problem}" for problem in problems_of(manifests))
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    yield from (f"compose.yaml: {problem}" for problem in compose_problems(compose))
    yield from (f"compose.yaml: {problem}" for problem in composition_problems(compose))
    yield from compose_backup_problems()
    for name in ("gpu.yaml", "object-storage.yaml"):
        addition = yaml.safe_load((ROOT / "deploy" / "compose" / name).read_text())
        yield from (f"{name}: {problem}" for problem in compose_problems(addition))
    yield from dockerfile_problems()
    yield from substitute_problems()
    yield from (f"deploy/monitoring/{problem}" for problem in monitoring_problems())
    yield from (f"deploy/monitoring: {problem}" for problem in promtool_problems())


def main() -> None:
    """Print what is wrong; exit status 1 where anything is."""
    found = list(problems())
    if find_promtool() is None:
        sys.stderr.write("Alerts are not tested: promtool, of Debian's `prometheus`, is not installed.\n")
    for problem in found:
        sys.stderr.write(f"{problem}\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
