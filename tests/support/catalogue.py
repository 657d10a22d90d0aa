"""Sessions, photos and outcomes in a catalogue, as the pipeline would write them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.library.photos import FoundPhoto
from triptych_gateway.catalog.runs import lifecycle, planning, shards
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.runs.results import FoundFace, Outcome, PhotoError, PhotoFacts
from triptych_gateway.catalog.runs.shards import ShardItem
from triptych_gateway.catalog.sessions import sessions

MODEL = "clip/1"
FACES = "faces/1"
DIMENSION = 4
WEIGHTS = {"training": 0.30, "face_detection": 0.65, "clustering": 0.05}


async def new_session(connection: AsyncConnection, *, paths: Sequence[bytes] = (), shard_size: int = 2) -> int:
    """A session in which these photos were found."""
    session_id = await sessions.create_session(
        connection,
        name="n",
        root_path=b"/photos",
        config={},
        weights=WEIGHTS,
        category_id=None,
        shard_size=shard_size,
    )
    if paths:
        await photos.add_photos(connection, session_id, [found(path) for path in paths])
    return session_id


def found(path: bytes, *, size: int = 10, modified: int = 1) -> FoundPhoto:
    return FoundPhoto(path=path, size_bytes=size, modified_ns=modified)


async def begin(connection: AsyncConnection, session_id: int, phase: str = "training", *, model: str = MODEL) -> Run:
    """Assign the photos of a phase's latest run, as the pipeline does."""
    run = (await lifecycle.latest_runs(connection, session_id))[phase]
    order = await planning.put_in_order(connection, run, model_id=model)
    for first in range(0, order.job_changes, planning.JOBS_SLICE):
        await planning.change_jobs(connection, first=first)
    await planning.assign_items(connection, run, items=order.items)
    total = await planning.count_photos(connection, run)
    renewed = await planning.count_renewed(connection, run, model_id=model)
    await planning.forget_order(connection)
    return await lifecycle.update_run(
        connection, run.id, status="running", total=total, skipped=total - order.items, renewed=renewed
    )


async def items_of(connection: AsyncConnection, run: Run) -> list[ShardItem]:
    """What is left of a run, by path."""
    unfinished = await shards.unfinished_shards(connection, run)
    left = [item for one in unfinished for item in (await shards.load_shard(connection, run, one)).items]
    return sorted(left, key=lambda item: item.path)


def embedded(item: ShardItem, value: float = 1.0) -> Outcome:
    return Outcome(
        item=item,
        result=np.full(DIMENSION, value, np.float32),
        facts=PhotoFacts(content_sha256=b"\1" * 32, width=640, height=480, taken_at="2026-01-12T10:00:00"),
        processing_microseconds=1500,
    )


def detected(item: ShardItem, *values: float) -> Outcome:
    """A face for each value."""
    made = tuple(
        FoundFace(
            x=0.1,
            y=0.2,
            width=0.3,
            height=0.4,
            landmarks=((0.1, 0.1),) * 5,
            score=0.9,
            embedding=np.full(DIMENSION, value, np.float32),
        )
        for value in values
    )
    return Outcome(item=item, result=made, facts=None, processing_microseconds=10)


def broken(item: ShardItem, message: str = "The picture is damaged.") -> Outcome:
    return Outcome(item=item, result=PhotoError(code="corrupt", message=message), facts=None, processing_microseconds=5)


async def table(connection: AsyncConnection, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.execute(text(query), parameters)]
