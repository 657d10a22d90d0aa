"""Everything but the GPUs: a whole stack whose gateway knows the services of photos by names that stand for replicas.

A replica is the real process of its service, with a model that sleeps for as long as a photo takes and uses no
processor meanwhile: so many of them work side by side on a machine of few cores, as on machines of their own. Photos
are small, because decoding is what the replicas would share here and nowhere else.
"""

import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import httpx
from PIL import Image

from benchmarks.pipeline import stack, synthetic
from tests.support.metrics import scrape
from tests.support.named_replicas import HostNames, NamedReplicas
from tests.support.ports import free_port
from triptych_gateway.cli.stack.services import GATEWAY, console_scripts
from triptych_gateway.cli.stack.stack import Stack
from triptych_gateway.cli.stack.waiting import wait_until_answered

SECONDS_PER_PHOTO: Final = 0.02
SERVICES: Final = {"training": "embedder", "face_detection": "facedetect"}
_MICRO_BATCH: Final = 16
_PHOTO: Final = (64, 48)
_NAMES_PER_FILE: Final = 10_000
"""Hard links of one file; file systems allow some ten thousand."""
_DEADLINE_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How a phase of a session stands."""

    status: str
    done: int
    failed: int
    seconds: float | None
    """How long it took; None before its end."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The stack, its replicas, and where sessions are looked at from outside."""

    running: Stack
    media: Path
    replicas: dict[str, NamedReplicas]
    """By service."""
    metrics: str
    """Of the gateway."""
    database: asyncpg.Connection
    client: httpx.AsyncClient

    async def have(self, count: int) -> None:
        """Start replicas until each service has so many, and wait until the gateway knows all of them."""
        for replicas in self.replicas.values():
            while len(replicas.named) < count:
                await replicas.add(seconds_per_photo=SECONDS_PER_PHOTO)

        async def are_known() -> bool:
            known = (await scrape(self.metrics)).by_label("triptych_replicas", "service")
            return all(known[service] == count for service in self.replicas)

        await until(are_known, f"the gateway knows {count} replicas of each service")

    async def begin(self, name: str, *, photos: int) -> int:
        """Start a session over so many photos that nobody has seen; returns its id."""
        directory = self.media / name
        make_photos(directory, photos)
        body = {"name": name, "rootPath": str(directory)}
        created = (await self.client.post("/sessions", json=body)).raise_for_status()
        session_id: int = created.json()["id"]
        (await self.client.post(f"/sessions/{session_id}/start")).raise_for_status()
        return session_id

    async def cancel(self, session_id: int) -> None:
        """End a session as it stands."""
        (await self.client.post(f"/sessions/{session_id}/cancel")).raise_for_status()

    async def counts(self, session_id: int, phase: str) -> Counts:
        """How a phase stands."""
        row = await self.database.fetchrow(
            """SELECT status, done, failed, extract(epoch FROM completed_at - started_at)::float8 AS seconds FROM runs
            WHERE session_id = $1 AND phase = $2""",
            session_id,
            phase,
        )
        return Counts(**dict(row))

    async def finish(self, session_id: int, phase: str) -> Counts:
        """Wait until a phase is over. Raises RuntimeError where it fails or takes too long."""

        async def is_over() -> bool:
            return (await self.counts(session_id, phase)).status not in ("pending", "running")

        await until(is_over, f"{phase} is over")
        counts = await self.counts(session_id, phase)
        if counts.status != "completed":
            raise RuntimeError(f"{phase} ended as {counts.status}")
        return counts

    async def results(self, session_id: int) -> int:
        """Photos of a session that have an embedding, and exactly one."""
        return int(
            await self.database.fetchval(
                """SELECT count(*) FROM (SELECT s.asset_id FROM session_assets s
                JOIN embeddings e ON e.asset_id = s.asset_id WHERE s.session_id = $1
                GROUP BY s.asset_id HAVING count(*) = 1) embedded""",
                session_id,
            )
        )


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until something holds. Raises RuntimeError where it takes too long."""
    if not await wait_until_answered(holds, deadline_seconds=_DEADLINE_SECONDS, interval_seconds=_POLL_SECONDS):
        raise RuntimeError(f"not within {_DEADLINE_SECONDS:.0f} s: {what}")


def make_photos(directory: Path, count: int) -> None:
    """So many small JPEGs, of a few files under many names."""
    directory.mkdir(parents=True)
    original = directory
    for number in range(count):
        path = directory / f"IMG_{number:06}.JPG"
        if number % _NAMES_PER_FILE:
            os.link(original, path)
            continue
        encoded = io.BytesIO()
        Image.new("RGB", _PHOTO, (number // _NAMES_PER_FILE, 90, 160)).save(encoded, "JPEG")
        path.write_bytes(encoded.getvalue())
        original = path


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """A stack whose gateway knows no replica yet; the services that it brings along have nothing to do."""
    media = directory / "media"
    media.mkdir(parents=True)
    hosts = HostNames(directory / "hosts")
    environment = {"TRIPTYCH_MEDIA_ROOTS": str(media), "TRIPTYCH_MICRO_BATCH": str(_MICRO_BATCH)}
    replicas = {
        name: NamedReplicas(service=name, hosts=hosts, environment=environment, folder=directory)
        for name in SERVICES.values()
    }
    metrics = f"127.0.0.1:{free_port()}"
    addresses = [f"TRIPTYCH_{name.upper()}_ADDRESSES={one.address}" for name, one in replicas.items()]
    gateway = (
        *hosts.prefix,
        "/usr/bin/env",
        f"TRIPTYCH_METRICS_LISTEN={metrics}",
        *addresses,
        *console_scripts()[GATEWAY],
    )
    programs = {GATEWAY: gateway, **{name: synthetic(name, 0) for name in SERVICES.values()}}
    async with stack(directory / "stack", media, programs) as running:
        environment["NATS_URL"] = running.urls.nats
        database = await asyncpg.connect(running.urls.database)
        client = httpx.AsyncClient(base_url=f"{running.urls.http}/api/v1/training", trust_env=False, timeout=60)
        try:
            yield Stage(
                running=running, media=media, replicas=replicas, metrics=metrics, database=database, client=client
            )
        finally:
            await client.aclose()
            await database.close()
            for one in replicas.values():
                one.stop_all()
