"""The Dockerfiles: hadolint, and what each of them has to have."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools.deployment.code import IMAGES
from tools.deployment.manifests import OURS, ROOT
from tools.settings_table import PROCESSES

_NEEDED: Final = {
    r"^ARG BASE_IMAGE=": "takes its base as BASE_IMAGE",
    r"^FROM \$\{BASE_IMAGE\} AS build$": "builds in a stage of its own",
    r"^USER 10001:10001$": "runs as nobody in particular",
    r"^HEALTHCHECK .*triptych-health": "has a health check",
    r"org\.opencontainers\.image\.revision": "has OCI labels",
    r"tools/install_parts\.py --into /opt/triptych ": "installs what constraints.txt locks",
}
_SUBSTITUTES: Final = {"opencv-python-headless": "opencv-python"}
"""Package that images install → the one of the same version that it takes the place of."""


def dockerfile_problems(folder: Path = IMAGES) -> Iterator[str]:
    """What is wrong with the Dockerfiles of a folder."""
    files = {path.name.removesuffix(".Dockerfile"): path for path in sorted(folder.glob("*.Dockerfile"))}
    if files.keys() != set(OURS):
        yield f"Dockerfiles: {', '.join(files)}; services: {', '.join(OURS)}"
    for name, path in files.items():
        yield from _one(name, path.read_text())
    linted = subprocess.run(
        [str(Path(sys.executable).with_name("hadolint")), *map(str, files.values())],
        capture_output=True,
        text=True,
        check=False,
    )
    yield from linted.stdout.splitlines()
    if linted.returncode and not linted.stdout:
        yield linted.stderr


def _one(name: str, text: str) -> Iterator[str]:
    for pattern, what in _NEEDED.items():
        if not re.search(pattern, text, flags=re.MULTILINE):
            yield f"{name}.Dockerfile: no line that {what}"
    for install in re.findall(r"pip(?: --python \S+)? install (?:\\\n|[^&\n])*", text):
        if "--require-hashes" not in install:
            yield f"{name}.Dockerfile: installs files whose hashes nobody asks for: {' '.join(install.split())}"
    default = PROCESSES[name].model_fields.get("listen") or PROCESSES[name].model_fields["http_port"]
    port = str(default.default).rpartition(":")[2]
    if not re.search(rf"^EXPOSE {port} ", text, flags=re.MULTILINE):
        yield f"{name}.Dockerfile: does not expose {port}"
    if f'ENTRYPOINT ["triptych-{name}"]' not in text:
        yield f"{name}.Dockerfile: does not run triptych-{name}"


def substitute_problems(constraints: str | None = None) -> Iterator[str]:
    """Packages that images install in place of others, against the versions that tests run with."""
    locked = constraints if constraints is not None else (ROOT / "constraints.txt").read_text()
    versions = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", locked, flags=re.MULTILINE))
    for substitute, package in _SUBSTITUTES.items():
        if package not in versions or versions[package] != versions.get(substitute):
            yield f"constraints.txt: {substitute} {versions.get(substitute)} is for {package} {versions.get(package)}"
