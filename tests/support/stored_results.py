"""What a session left in the catalogue of a stack, to be compared with what another one left."""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import grpc

from tests.support.running_triptych import Triptych
from triptych.v1 import progress_pb2, progress_pb2_grpc

_DEADLINE_SECONDS: Final = 90.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is stored of one session; photos go by their names."""

    embedded: Counter[str]
    scanned: Counter[str]
    faces: Counter[tuple[str, float, float]]
    """Photo, left and top of each face."""
    groups: Counter[int]
    """Sizes of the groups, within this session's photos."""
    unsettled: int
    """Photos of the session's runs without an outcome."""


async def settled_photos(running: Triptych, session_id: int, phase: str) -> set[str]:
    """Photos with a stored result of a phase, by name."""
    async with connected(running) as database:
        rows = await database.fetch(
            """
            SELECT a.path FROM run_items i JOIN runs r ON r.id = i.run_id JOIN assets a ON a.id = i.asset_id
            WHERE r.session_id = $1 AND r.phase = $2 AND i.state <> 'pending'""",
            session_id,
            phase,
        )
    return {photo_name(row["path"]) for row in rows}


async def found_of(running: Triptych, session_id: int, directory: Path | str) -> Found:
    """What is stored of a session of that directory."""
    root = os.fsencode(directory) + b"/"

    async def photos(table: str) -> Counter[str]:
        rows = await database.fetch(
            f"SELECT a.path FROM {table} t JOIN assets a ON a.id = t.asset_id "  # noqa: S608 - one of two names
            "WHERE starts_with(encode(a.path, 'escape'), encode($1, 'escape'))",
            root,
        )
        return Counter(photo_name(row["path"]) for row in rows)

    async with connected(running) as database:
        faces = await database.fetch(
            """
            SELECT a.path, f.x, f.y FROM faces f JOIN assets a ON a.id = f.asset_id
            JOIN session_assets s ON s.asset_id = a.id WHERE s.session_id = $1""",
            session_id,
        )
        groups = await database.fetch(
            """
            SELECT count(*) FROM face_places g JOIN groups u ON u.id = g.group_id
            JOIN clusterings c ON c.id = u.clustering_id JOIN faces f ON f.id = g.face_id
            JOIN session_assets s ON s.asset_id = f.asset_id
            WHERE c.active AND s.session_id = $1 GROUP BY g.group_id""",
            session_id,
        )
        unsettled = await database.fetchval(
            "SELECT count(*) FROM run_items i JOIN runs r ON r.id = i.run_id "
            "WHERE r.session_id = $1 AND i.state = 'pending'",
            session_id,
        )
        return Found(
            embedded=await photos("embeddings"),
            scanned=await photos("face_scans"),
            faces=Counter((photo_name(row["path"]), row["x"], row["y"]) for row in faces),
            groups=Counter(row["count"] for row in groups),
            unsettled=unsettled,
        )


async def until_aggregated(running: Triptych, session_id: int, *, photos: int) -> None:
    """Wait until the aggregator itself has heard of everything, whatever was down meanwhile."""
    request = progress_pb2.GetSessionProgressRequest(session_id=session_id)
    metadata = (("authorization", f"Bearer {running.record().service_token}"),)
    async with (
        asyncio.timeout(_DEADLINE_SECONDS),
        grpc.aio.insecure_channel(running.record().addresses["progress"]) as channel,
    ):
        while True:
            answer = await progress_pb2_grpc.ProgressStub(channel).GetSessionProgress(
                request, metadata=metadata, wait_for_ready=True
            )
            done = [phase.done for phase in answer.progress.phases[:2]]
            if answer.progress.percentage == 100 and done == [photos, photos]:
                return
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def connected(running: Triptych) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a stack's database."""
    connection = await running.connect_database()
    try:
        yield connection
    finally:
        await connection.close()


def photo_name(path: bytes) -> str:
    """The name of a photo's file."""
    return os.fsdecode(path).rpartition("/")[2]
