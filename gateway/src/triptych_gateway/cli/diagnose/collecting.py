"""Gathers what a bundle holds, part by part; a part that cannot be had is told with its reason, and stops no other."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import nats.errors

from triptych_gateway.cli.diagnose.redaction import SECRET_NAME, credentials_of, secrets_in
from triptych_gateway.cli.diagnose.stores import database_state, media_roots_of_sessions, streams
from triptych_gateway.cli.doctor import examine
from triptych_gateway.cli.places import places_in
from triptych_gateway.cli.plain_http import NO_AUTHORITIES
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.readiness import grpc_is_serving
from triptych_gateway.cli.stack.record import StackRecord, running_stack
from triptych_gateway.cli.stack.services import GATEWAY, GRPC_SERVICES, metrics_address

_ANSWER_SECONDS: Final = 5.0
_LOG_BYTES: Final = 4 * 2**20
"""Of each log file, the last so many."""
_OURS: Final = ("TRIPTYCH_", "OTEL_", "AWS_")
_OTHERS: Final = (
    "DATABASE_URL",
    "NATS_URL",
    "HF_HUB_OFFLINE",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "NO_COLOR",
    "LANG",
    "TZ",
)
_UNREACHED: Final = (OSError, TimeoutError, ValueError, StackError)
_DATABASE_AWAY: Final = (*_UNREACHED, asyncpg.PostgresError, asyncpg.InterfaceError)
_BROKER_AWAY: Final = (*_UNREACHED, nats.errors.Error)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The installation that is looked at."""

    data: DataDirectory
    environment: Mapping[str, str]
    url: str
    """The gateway's."""
    port: int
    record: StackRecord | None
    """None where nothing runs on the data directory, or it may not be read."""

    @classmethod
    def of(cls, data: DataDirectory, environment: Mapping[str, str], url: str) -> "Subject":
        """What runs on a data directory, and at an address."""
        try:
            record = running_stack(data)
        except OSError:
            record = None
        address = httpx.URL(record.http_url if record is not None else url)
        return cls(data=data, environment=environment, url=str(address), port=address.port or 80, record=record)

    @property
    def database_url(self) -> str | None:
        """Where the catalogue is; None where nobody says."""
        return self.environment.get("DATABASE_URL") or (self.record.database_url if self.record is not None else None)

    @property
    def nats_url(self) -> str | None:
        """Likewise the broker."""
        return self.environment.get("NATS_URL") or (self.record.nats_url if self.record is not None else None)

    def secrets(self) -> set[str]:
        """Every secret that this process can know of; files that it may not read hold none that it could tell."""
        known = secrets_in(self.environment)
        for url in (self.database_url, self.nats_url):
            known |= credentials_of(url) if url is not None else set()
        known |= {self.record.service_token} if self.record is not None else set()
        for path in (*self.data.nats.glob("*password"), self.data.postgres / "password"):
            try:
                known.add(path.read_text(encoding="utf-8", errors="replace").strip())
            except OSError:
                continue
        return known

    async def media_roots(self) -> set[str]:
        """Where photos lie: named by the environment, the running stack, and sessions if the database answers."""
        roots = {str(root) for root in places_in(self.environment)} | {str(self.data.samples)}
        roots |= set(self.record.media_roots) if self.record is not None else set()
        if self.database_url is not None:
            try:
                roots |= await media_roots_of_sessions(self.database_url)
            except _DATABASE_AWAY:
                # Told of by the part `database`, which asks the same server.
                return roots
        return roots


@dataclass(kw_only=True)
class Collected:
    """What was had, and what was not."""

    values: dict[str, Any] = field(default_factory=dict)
    """Name of a file → what it holds, as JSON can."""
    texts: dict[str, str] = field(default_factory=dict)
    """Name of a file → its text."""
    missing: dict[str, str] = field(default_factory=dict)
    """Part → why it is not there."""


async def collect(subject: Subject) -> Collected:
    """Everything but what nobody may see; nothing is changed anywhere."""
    collected = Collected()
    collected.values["versions.json"] = versions()
    collected.values["settings.json"] = settings(subject.environment)
    async with _part(collected, "doctor", _UNREACHED):
        collected.values["doctor.json"] = [asdict(one) for one in await examine(subject.data, port=subject.port)]
    collected.values["processes.json"] = await _processes(subject, collected)
    await _store(collected, "database", subject.database_url, database_state, _DATABASE_AWAY)
    await _store(collected, "nats", subject.nats_url, streams, _BROKER_AWAY)
    await _metrics(subject, collected)
    async with _part(collected, "logs", _UNREACHED):
        collected.texts |= logs(subject.data.logs)
    return collected


@asynccontextmanager
async def _part(collected: Collected, name: str, away: tuple[type[Exception], ...]) -> AsyncIterator[None]:
    try:
        yield
    except away as error:
        collected.missing[name] = str(error) or type(error).__name__


async def _store(
    collected: Collected,
    name: str,
    url: str | None,
    ask: Callable[[str], Coroutine[Any, Any, dict[str, Any]]],
    away: tuple[type[Exception], ...],
) -> None:
    if url is None:
        variable = "DATABASE_URL" if name == "database" else "NATS_URL"
        collected.missing[name] = f"nothing runs on the data directory, and {variable} names no server"
        return
    async with _part(collected, name, away):
        collected.values[f"{name}.json"] = await ask(url)


def versions() -> dict[str, Any]:
    """The machine, Python, and every distribution that is installed."""
    return {
        "python": sys.version,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "distributions": {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()},
    }


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment is for Triptych; of secrets only that they are there."""
    ours = {name: value for name, value in environment.items() if name.startswith(_OURS) or name in _OTHERS}
    return {name: "***" if SECRET_NAME.search(name) and value else value for name, value in sorted(ours.items())}


async def _processes(subject: Subject, collected: Collected) -> dict[str, Any]:
    """Whether each process answers that it serves."""
    told: dict[str, Any] = {"gateway_url": subject.url}
    async with httpx.AsyncClient(verify=NO_AUTHORITIES, trust_env=False, timeout=_ANSWER_SECONDS) as client:
        try:
            answer = await client.get(f"{subject.url.rstrip('/')}/health")
        except httpx.TransportError as error:
            collected.missing[GATEWAY] = str(error) or type(error).__name__
        else:
            told[GATEWAY] = {"status": answer.status_code, "body": answer.text[:2000]}
    if subject.record is None:
        collected.missing["services"] = "nothing runs on the data directory"
        return told
    told["processes"] = {name: asdict(process) for name, process in subject.record.processes.items()}
    for name, address in subject.record.addresses.items():
        told[name] = {"address": address, "serving": await grpc_is_serving(address)}
        if not told[name]["serving"]:
            collected.missing[name] = f"does not say at {address} that it serves"
    return told


async def _metrics(subject: Subject, collected: Collected) -> None:
    async with httpx.AsyncClient(verify=NO_AUTHORITIES, trust_env=False, timeout=_ANSWER_SECONDS) as client:
        for name in (*GRPC_SERVICES, GATEWAY):
            address = metrics_address(name, subject.environment)
            if address is None:
                collected.missing["metrics"] = (
                    "TRIPTYCH_METRICS_LISTEN, as it was set for `triptych up`, is not set here"
                )
                return
            async with _part(collected, f"metrics of {name}", (*_UNREACHED, httpx.HTTPError)):
                answer = await client.get(f"http://{address}/metrics")
                collected.texts[f"metrics/{name}.txt"] = answer.raise_for_status().text


def logs(directory: Path) -> dict[str, str]:
    """The last of each log file in a directory.

    Raises:
        OSError: they cannot be read.
    """
    found = {}
    for path in sorted(directory.iterdir()):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                file.seek(max(path.stat().st_size - _LOG_BYTES, 0))
                found[f"logs/{path.name}"] = file.read().decode("utf-8", "backslashreplace")
    return found
