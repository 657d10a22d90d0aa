"""Speed of the aggregator, with a real NATS server and the real progress service in processes of their own.

- ``events_per_second``: a service without snapshots folds a stream that is there already, from JetStream to state. It
  is one thread; what it used of a core is printed beside it.
- ``lag_p99_ms``: 2,000 events per second over 1,000 sessions; from an event's leaving for NATS to its counts' reaching
  a gRPC watcher of all sessions.
- ``restore_seconds``: after 1,000,000 events, while events go on coming, the service is killed (SIGKILL) five times at
  random moments; the worst time from its new process's connecting to NATS until it has caught up. With the start of
  the Python process before it: ``restart_seconds``.
- ``state_bytes_per_session``: a session of 1,000,000 photos in the worst state that is usual: all shards but one
  finished, every hundredth of them with failures; the larger of its snapshot and its objects in memory.

python benchmarks/progress.py --seed 0
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import nats
import nats.js.errors
import numpy as np
import psutil

from benchmarks.progress_load import Connection, Message, in_turns, photos_for, session_messages
from benchmarks.progress_process import ProgressProcess
from tests.support.nats_server import NatsServer
from triptych.v1 import progress_event_pb2, progress_pb2
from triptych_common.progress.events import SNAPSHOT_BUCKET, STREAM, StreamLimits, stream_config
from triptych_progress.messages import report_from_wire
from triptych_progress.reducer import Report
from triptych_progress.session import Session
from triptych_progress.snapshots import Position, decode_position, encode_session

SESSIONS: Final = 1_000
FOLDED_EVENTS: Final = 300_000
RESTORE_EVENTS: Final = 1_000_000
LAG_RATE: Final = 2_000
LAG_SECONDS: Final = 20.0
KILLS: Final = 5
_TICK_SECONDS: Final = 0.02
_FAILING: Final = 0.01
_STREAM_BYTES: Final = 4 * 2**30


@asynccontextmanager
async def nats_server(folder: Path) -> AsyncIterator[NatsServer]:
    """A NATS server with an empty progress stream."""
    server = NatsServer(folder=folder)
    await server.start()
    client = await nats.connect(server.url)
    try:
        await client.jetstream().add_stream(stream_config(StreamLimits(max_bytes=_STREAM_BYTES)))
        yield server
    finally:
        await client.close()
        server.stop()


async def fill(server: NatsServer, messages: Iterator[Message]) -> int:
    """Publish, and wait until the stream holds all; their number."""
    connection = Connection(server.port)
    number = await asyncio.to_thread(connection.publish, messages)
    connection.close()
    client = await nats.connect(server.url)
    while (await client.jetstream().stream_info(STREAM)).state.last_seq < number:  # noqa: ASYNC110 - it cannot be told
        await asyncio.sleep(0.1)
    await client.close()
    return number


def settings(**further: str) -> dict[str, str]:
    """The service's settings: the defaults, but for a stream that holds the whole benchmark."""
    return {"TRIPTYCH_STREAM_MAX_BYTES": str(_STREAM_BYTES), **further}


async def measure_folding(folder: Path) -> dict[str, float]:
    """Fold a stream that is there already."""
    photos = photos_for(FOLDED_EVENTS // SESSIONS)
    async with nats_server(folder) as server:
        events = await fill(server, in_turns([session_messages(one, photos=photos) for one in range(1, SESSIONS + 1)]))
        async with ProgressProcess(server.url, folder, **settings()) as service:
            await service.until_serving()
            done = service.logged("caught up")
            cpu = sum(psutil.Process(service.pid).cpu_times()[:2])
    return {"events_per_second": events / done["seconds"], "folded_events": events, "fold_cpu_seconds": cpu}


async def measure_lag(folder: Path) -> dict[str, float]:
    """Publish at a steady rate, and see when a watcher of all sessions is told."""
    photos = photos_for(int(LAG_RATE * LAG_SECONDS / SESSIONS) + 10)
    flow = in_turns([session_messages(one, photos=photos) for one in range(1, SESSIONS + 1)])
    left_at: dict[tuple[int, int, int], float] = {}
    lags: list[float] = []
    async with nats_server(folder) as server, ProgressProcess(server.url, folder, **settings()) as service:
        await service.until_serving()
        connection = Connection(server.port)
        # Every session is announced first: what is measured is a session's going on.
        await asyncio.to_thread(connection.publish, islice(flow, 4 * SESSIONS))
        told: set[int] = set()
        watching = asyncio.create_task(_note_lags(service, left_at, lags, told))
        while len(told) < SESSIONS:  # noqa: ASYNC110 - a moment before the measurement
            await asyncio.sleep(_TICK_SECONDS)
        await _publish_evenly(connection, flow, left_at)
        await asyncio.sleep(1.0)
        watching.cancel()
        await asyncio.wait([watching])
        connection.close()
    if not lags:
        raise RuntimeError("the watcher was told nothing")
    p50, p99 = np.percentile(lags, [50, 99]) * 1000
    return {"lag_p50_ms": float(p50), "lag_p99_ms": float(p99), "lag_samples": len(lags)}


async def _publish_evenly(
    connection: Connection, flow: Iterator[Message], left_at: dict[tuple[int, int, int], float]
) -> None:
    """Publish LAG_RATE events per second, and note for each which count of which phase it brings about."""
    began = time.perf_counter()
    published = 0
    current: dict[tuple[int, int], int] = {}
    units: dict[tuple[int, int, str], int] = {}
    while (elapsed := time.perf_counter() - began) < LAG_SECONDS:
        batch = list(islice(flow, max(0, int(elapsed * LAG_RATE) - published)))
        for _, _, content in batch:
            event = progress_event_pb2.ProgressEvent.FromString(content)
            if event.WhichOneof("report") == "counts":
                phase, unit = (event.session_id, event.phase), (event.session_id, event.phase, event.unit)
                current[phase] = current.get(phase, 0) + event.counts.done - units.get(unit, 0)
                units[unit] = event.counts.done
                left_at[*phase, current[phase]] = time.perf_counter()
        await asyncio.to_thread(connection.publish, batch)
        published += len(batch)
        await asyncio.sleep(_TICK_SECONDS)


async def _note_lags(
    service: ProgressProcess, left_at: dict[tuple[int, int, int], float], lags: list[float], told: set[int]
) -> None:
    """For every state that a watcher is given: how long ago the event that brought it about had left.

    ``told`` are the sessions that it has been told of as running.
    """
    async for message in service.stub.WatchSessionProgress(progress_pb2.WatchSessionProgressRequest()):
        now = time.perf_counter()
        for progress in (message.progress, *message.more):
            if progress.phases[0].state == progress_event_pb2.RUN_STATE_RUNNING:
                told.add(progress.session_id)
            for phase in progress.phases:
                left = left_at.pop((progress.session_id, phase.phase, phase.done), None)
                if left is not None:
                    lags.append(now - left)


async def measure_restore(folder: Path, seed: int) -> dict[str, float]:
    """Kill the service at random moments while events come, with the default snapshot interval."""
    chance = random.Random(seed)
    photos = photos_for(int(1.2 * RESTORE_EVENTS) // SESSIONS)
    flow = in_turns([session_messages(one, photos=photos) for one in range(1, SESSIONS + 1)])
    restored: list[float] = []
    restarted: list[float] = []
    async with nats_server(folder) as server:
        await fill(server, islice(flow, RESTORE_EVENTS))
        async with ProgressProcess(server.url, folder, **settings()) as first:
            await first.until_serving()
            await _until_covered(server)
            connection = Connection(server.port)
            publishing = asyncio.create_task(_keep_publishing(connection, flow))
            await asyncio.sleep(chance.uniform(2, 6))
            first.kill()
        for _ in range(KILLS):
            began = time.perf_counter()
            async with ProgressProcess(server.url, folder, **settings()) as service:
                await service.until_serving()
                restarted.append(time.perf_counter() - began)
                restored.append(service.logged("caught up")["seconds"])
                await asyncio.sleep(chance.uniform(1, 6))
                service.kill()
        publishing.cancel()
        await asyncio.wait([publishing])
        connection.close()
    return {"restore_seconds": max(restored), "restart_seconds": max(restarted)}


async def _until_covered(server: NatsServer) -> None:
    """Wait until snapshots cover the whole stream."""
    client = await nats.connect(server.url)
    bucket = await client.jetstream().key_value(SNAPSHOT_BUCKET)
    while True:
        try:
            if decode_position((await bucket.get("position")).value or b"").sequence >= RESTORE_EVENTS:
                break
        except nats.js.errors.KeyNotFoundError:
            pass
        await asyncio.sleep(0.1)
    await client.close()


async def _keep_publishing(connection: Connection, flow: Iterator[Message]) -> None:
    """Publish LAG_RATE events per second until cancelled."""
    while batch := list(islice(flow, int(LAG_RATE * 0.1))):
        await asyncio.to_thread(connection.publish, batch)
        await asyncio.sleep(0.1)


def measure_state(seed: int) -> dict[str, float]:
    """A session of a million photos near the end of its last phase but one."""
    reports = list(_reports_with_failures(random.Random(seed)))
    _fold(reports)  # What the process keeps for all sessions together is there now.
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    session = _fold(reports)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    snapshot = len(encode_session(session, position=Position()))
    return {
        "state_bytes_per_session": max(after - before, snapshot),
        "snapshot_bytes_per_session": snapshot,
        "memory_bytes_per_session": after - before,
    }


def _reports_with_failures(chance: random.Random) -> Iterator[Report]:
    """All reports of a session of a million photos until its last phase; one shard in a hundred has a failure."""
    for _, _, content in list(session_messages(1, photos=1_000_000, running=True))[:-1]:
        event = progress_event_pb2.ProgressEvent.FromString(content)
        counts = event.counts
        if event.WhichOneof("report") == "counts" and counts.done == counts.total and chance.random() < _FAILING:
            counts.failed, counts.done = 1, counts.done - 1
        yield report_from_wire(event)


def _fold(reports: Iterable[Report]) -> Session:
    session = Session()
    for step, report in enumerate(reports):
        session.apply(report, time_microseconds=step * 1000)
    return session


async def measure(seed: int, parts: list[str]) -> dict[str, Any]:
    """All figures, with a line for each as it comes."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folders = {part: Path(name, part) for part in parts}
        for folder in folders.values():
            folder.mkdir()
        measures = {
            "state": lambda: asyncio.to_thread(measure_state, seed),
            "folding": lambda: measure_folding(folders["folding"]),
            "lag": lambda: measure_lag(folders["lag"]),
            "restore": lambda: measure_restore(folders["restore"], seed),
        }
        for part, one in measures.items():
            if part not in parts:
                continue
            found = await one()
            for key, value in found.items():
                sys.stdout.write(f"{key:28} {value:12,.3f}\n")
            sys.stdout.flush()
            figures |= found
    return figures


def main() -> None:
    """Measure, and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills and of the failures")
    parser.add_argument("--only", nargs="*", default=["state", "folding", "lag", "restore"], help="parts to measure")
    options = parser.parse_args()
    figures = asyncio.run(measure(options.seed, options.only))
    sys.stdout.write(json.dumps({key: round(value, 3) for key, value in figures.items()}) + "\n")


if __name__ == "__main__":
    main()
