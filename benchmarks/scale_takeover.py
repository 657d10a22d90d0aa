"""How long a session stands still when the gateway that runs it is killed: two gateways over one database and service.

A third gateway takes the place of the one that was killed, then the second is killed, and so on, each at another moment
of the five seconds after which a lease is renewed.

- ``takeover_seconds``: from each kill (SIGKILL) until the other gateway has stored the first shard that was finished;
- ``takeover_seconds_max``: the longest.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks.pipeline import synthetic
from benchmarks.scale_stage import SECONDS_PER_PHOTO, make_photos, until
from tests.support.real_servers import postgres_server
from tests.support.running_gateway import Gateway, running_gateway
from tests.support.running_progress import running_progress
from tests.support.running_workers import stop, until_serving, worker_stack
from triptych_gateway.catalog.runs.leases import RENEW_SECONDS

KILLS: Final = 6
PHOTOS: Final = 6_000
_LOOK_SECONDS: Final = 0.02
_DEADLINE_SECONDS: Final = 120.0
_STANDS: Final = """
    SELECT l.epoch, (SELECT count(*) FROM (SELECT FROM run_items WHERE run_id = r.id
        GROUP BY ordinal / r.shard_size HAVING bool_and(state = 'done')) finished) AS finished_shards
    FROM runs r LEFT JOIN leases l ON l.session_id = r.session_id
    WHERE r.session_id = $1 AND r.phase = 'training'"""


@dataclass(frozen=True, kw_only=True)
class Stands:
    """How a session's training stands."""

    epoch: int | None
    finished_shards: int


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session that is looked at from outside."""

    id: int
    database: asyncpg.Connection

    async def stands(self) -> Stands:
        """How its training stands now."""
        return Stands(**dict(await self.database.fetchrow(_STANDS, self.id)))

    async def until_further(self, since: Stands) -> None:
        """Wait until another shard is finished."""

        async def is_further() -> bool:
            return (await self.stands()).finished_shards > since.finished_shards

        await until(is_further, "another shard is finished")

    async def taken_over(self, since: Stands) -> float:
        """Wait until whoever has taken it has stored a finished shard; returns the moment (time.monotonic())."""
        finished = since.finished_shards
        while (now := await self.stands()).epoch == since.epoch or now.finished_shards == finished:
            if now.epoch == since.epoch:
                # What the other one had sent off when it was killed.
                finished = now.finished_shards
            await asyncio.sleep(_LOOK_SECONDS)
        return time.monotonic()


def measure_takeover(directory: Path) -> dict[str, float | list[float]]:
    """All figures, by name."""
    media = directory / "small-photos"
    make_photos(media, PHOTOS)
    with ExitStack() as stack:
        postgres = stack.enter_context(postgres_server())
        workers = stack.enter_context(worker_stack(directory))
        progress = stack.enter_context(running_progress(nats_url=workers.nats_url, folder=directory))
        program = synthetic("embedder", SECONDS_PER_PHOTO)
        embedder = workers.start("embedder", program, media_roots=str(media), micro_batch="16")
        stack.callback(stop, embedder.process)
        asyncio.run(until_serving(embedder))
        database_url = postgres.url(postgres.create_database())

        def start_gateway(number: int) -> Gateway:
            folder = directory / f"gateway-{number}"
            folder.mkdir()
            settings = {
                "TRIPTYCH_MEDIA_ROOTS": str(media),
                "TRIPTYCH_EMBEDDER_ADDRESSES": embedder.address,
                "TRIPTYCH_PROGRESS_ADDRESSES": progress.address,
            }
            return stack.enter_context(
                running_gateway(database_url=database_url, nats_url=workers.nats_url, folder=folder, **settings)
            )

        seconds = asyncio.run(_measure_with(start_gateway, media, database_url))
    return {"takeover_seconds": seconds, "takeover_seconds_max": max(seconds)}


def _start_session(gateway: Gateway, directory: Path) -> int:
    with gateway.client() as client:
        session_id = gateway.create(client, directory)
        client.post(f"/api/v1/training/sessions/{session_id}/start").raise_for_status()
    return session_id


async def _measure_with(start_gateway: Callable[[int], Gateway], media: Path, database_url: str) -> list[float]:
    first, database = start_gateway(0), await asyncpg.connect(database_url)
    try:
        return await _kill_each(first, start_gateway, Session(id=_start_session(first, media), database=database))
    finally:
        await database.close()


async def _kill_each(first: Gateway, start_gateway: Callable[[int], Gateway], session: Session) -> list[float]:
    """Kill whoever runs the session, with another gateway beside it; returns the seconds that each takeover took."""
    running, took = first, []
    for number in range(KILLS):
        other = start_gateway(number + 1)
        await session.until_further(await session.stands())
        await asyncio.sleep(RENEW_SECONDS * number / KILLS)
        stands = await session.stands()
        running.process.kill()
        killed = time.monotonic()
        async with asyncio.timeout(_DEADLINE_SECONDS):
            took.append(await session.taken_over(stands) - killed)
        running = other
    return took
