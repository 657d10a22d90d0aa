"""What a run of very many photos takes to begin, and to go on after a crash: seconds, and the gateway's memory.

The rows of the photos are made by PostgreSQL itself, in place of discovery, whose own bench is `discovery.py`. All else
is real: the session is started by its button, and the gateway gives each photo its place in the run, counts the shards,
and sends the first ones to a service. Their files are not there, which is none of the planning's business.

- ``pause_seconds``: from the button, pressed while places are written, until PostgreSQL is at them no more;
- ``places_seconds``, ``begin_seconds``: from `resume` until all have places, until the first photos have an outcome;
- ``resume_seconds``: from the death of the gateway (SIGKILL) until more photos have an outcome;
- ``…_peak_megabytes``: the most memory that the gateway had, before anything was planned, at the beginning, and after
  its death.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import psutil

from benchmarks.pipeline import stack, synthetic
from triptych_gateway.cli.stack.record import StackRecord
from triptych_gateway.cli.stack.services import GATEWAY
from triptych_gateway.cli.stack.stack import Stack
from triptych_gateway.cli.stack.waiting import wait_until_answered

_STATEMENT_SECONDS: Final = 900.0
_DEADLINE_SECONDS: Final = 900.0
_POLL_SECONDS: Final = 0.1
_PHOTOS_PER_DIRECTORY: Final = 2_000

_INDEXES: Final = """
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
    WHERE indrelid IN ('assets'::regclass, 'session_assets'::regclass)
        AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)"""
_ASSETS: Final = """
    INSERT INTO assets (path, size_bytes, modified_ns)
    SELECT convert_to($1 || '/' || n / $3::int || '/IMG_' || lpad(n::text, 8, '0') || '.jpg', 'UTF8'), 1000000 + n, n
    FROM generate_series(0, $2::int - 1) AS n"""
_PHOTOS: Final = "INSERT INTO session_assets (session_id, asset_id) SELECT $1, id FROM assets ORDER BY id"
_COUNTS: Final = """
    INSERT INTO session_job_counts (session_id, status, count)
    SELECT session_id, status, count(*) FROM session_assets GROUP BY session_id, status"""
_DISCOVERED: Final = """
    UPDATE sessions SET discovered_at = now(), prepared_at = now(), photos_found = $2 WHERE id = $1"""
_TOTALS: Final = "UPDATE runs SET total = $2 WHERE session_id = $1 AND phase <> 'clustering'"
_STANDS: Final = """
    SELECT model IS NOT NULL AS planned, done + failed AS settled FROM runs
    WHERE session_id = $1 AND phase = 'training'"""
_IS_BEING_PLANNED: Final = """
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND state = 'active' AND query LIKE '%INSERT INTO run_items%')"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is watched from outside."""

    connection: asyncpg.Connection
    session_id: int

    async def is_planned(self) -> bool:
        """Whether its photos have their places."""
        return bool((await self.connection.fetchrow(_STANDS, self.session_id))["planned"])

    async def is_being_planned(self) -> bool:
        """Whether places are being written."""
        return bool(await self.connection.fetchval(_IS_BEING_PLANNED))

    async def settled(self) -> int:
        """Photos that have an outcome."""
        return int((await self.connection.fetchrow(_STANDS, self.session_id))["settled"])


async def measure_planning(directory: Path, *, photos: int) -> dict[str, float]:
    """All figures, by name."""
    media = directory / "media"
    media.mkdir(parents=True)
    programs = {name: synthetic(name, 0.02) for name in ("embedder", "facedetect")}
    async with stack(directory / "stack", media, programs) as running:
        connection = await asyncpg.connect(running.urls.database, command_timeout=_STATEMENT_SECONDS)
        try:
            async with httpx.AsyncClient(base_url=f"{running.urls.http}/api/v1/training", trust_env=False) as client:
                body = {"name": "planning", "rootPath": str(media)}
                created = (await client.post("/sessions", json=body)).raise_for_status()
                run = Run(connection=connection, session_id=created.json()["id"])
                rows = await _timed(lambda: _synthesise(run, media, photos))
                idle = _peak_megabytes(running)
                pause_seconds = await _pause_the_plan(run, client)
                begun = time.perf_counter()
                await _press(client, run, "resume")
            await _until(run.is_planned)
            planned = time.perf_counter() - begun
            await _goes_on(run, settled=0)
            begin = {"begin_seconds": time.perf_counter() - begun, "begin_peak_megabytes": _peak_megabytes(running)}
            await _kill_the_gateway(running)
            settled = await run.settled()
            resume_seconds = await _timed(lambda: _goes_on(run, settled=settled))
            return {
                "synthesise_seconds": rows,
                "idle_peak_megabytes": idle,
                "pause_seconds": pause_seconds,
                "places_seconds": planned,
                **begin,
                "resume_seconds": resume_seconds,
                "resume_peak_megabytes": _peak_megabytes(running),
            }
        finally:
            await connection.close()


async def _synthesise(run: Run, media: Path, photos: int) -> None:
    """The rows of so many photos, as discovery would have left them."""
    async with run.connection.transaction():
        await run.connection.execute("SET LOCAL session_replication_role = replica")
        await run.connection.execute("SET LOCAL maintenance_work_mem = '1GB'")
        # Indexes are made faster than they are kept up.
        indexes = await run.connection.fetch(_INDEXES)
        for index in indexes:
            await run.connection.execute(f"DROP INDEX {index['name']}")
        await run.connection.execute(_ASSETS, str(media), photos, _PHOTOS_PER_DIRECTORY)
        await run.connection.execute(_PHOTOS, run.session_id)
        for index in indexes:
            await run.connection.execute(index["definition"])
        await run.connection.execute(_COUNTS)
        await run.connection.execute(_DISCOVERED, run.session_id, photos)
        await run.connection.execute(_TOTALS, run.session_id, photos)
    await run.connection.execute("ANALYZE")


async def _press(client: httpx.AsyncClient, run: Run, button: str) -> None:
    (await client.post(f"/sessions/{run.session_id}/{button}")).raise_for_status()


async def _pause_the_plan(run: Run, client: httpx.AsyncClient) -> float:
    """Start the session, and pause it while places are written; returns the seconds until PostgreSQL has stopped.

    Raises RuntimeError for photos that are too few to be seen being planned.
    """

    async def has_come_to_it() -> bool:
        return await run.is_being_planned() or await run.is_planned()

    async def has_stopped() -> bool:
        return not await run.is_being_planned()

    await _press(client, run, "start")
    await _until(has_come_to_it)
    began = time.perf_counter()
    await _press(client, run, "pause")
    await _until(has_stopped)
    seconds = time.perf_counter() - began
    if await run.is_planned():
        raise RuntimeError("the plan was made before it could be paused: take more photos")
    return seconds


async def _kill_the_gateway(running: Stack) -> None:
    """Kill it, and wait until the stack, whose process it is, has noticed: it stores nothing any more."""
    gateway = gateway_process(running)

    async def is_gone() -> bool:
        return not psutil.pid_exists(gateway.pid)

    gateway.kill()
    await _until(is_gone)


async def _goes_on(run: Run, *, settled: int) -> None:
    """Wait until more photos have an outcome."""

    async def is_further() -> bool:
        return await run.settled() > settled

    await _until(is_further)


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    if not await wait_until_answered(holds, deadline_seconds=_DEADLINE_SECONDS, interval_seconds=_POLL_SECONDS):
        raise RuntimeError(f"the run did not come so far within {_DEADLINE_SECONDS:.0f} s")


async def _timed(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def gateway_process(running: Stack) -> psutil.Process:
    """The gateway as it runs now."""
    record = StackRecord.read(running.data_directory.record)
    if record is None:
        raise RuntimeError("the stack has no record")
    return psutil.Process(record.processes[GATEWAY].process_id)


def _peak_megabytes(running: Stack) -> float:
    """The most resident memory that the gateway's process has had, in MiB (proc(5), VmHWM)."""
    for line in Path(f"/proc/{gateway_process(running).pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1024
    raise RuntimeError("the system does not tell a process' peak memory")
