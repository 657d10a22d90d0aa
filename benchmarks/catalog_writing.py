"""What a large session writes into a large catalogue: discovery, the beginning of a phase, and its micro-batches."""

import time
from collections.abc import Iterator
from typing import Final

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import begin
from triptych_gateway.catalog.clustering.former_persons import remember_persons
from triptych_gateway.catalog.clustering.regrouping import NewGroup, replace_clustering
from triptych_gateway.catalog.database import create_engine
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.library.photos import FoundPhoto
from triptych_gateway.catalog.runs import results, shards
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.runs.results import FoundFace, Outcome, PhotoFacts
from triptych_gateway.catalog.runs.shards import ShardItem
from triptych_gateway.catalog.sessions import sessions

_DISCOVERY_BATCH: Final = 1_000
_MICRO_BATCH: Final = 16
_MICRO_BATCHES: Final = 200
_DIMENSION: Final = 512
_PHOTOS_PER_DIRECTORY: Final = 2_000
_MODEL: Final = "benchmark-writing/1"
_WEIGHTS: Final = {"training": 0.30, "face_detection": 0.65, "clustering": 0.05}


async def measure_writing(database_url: str, *, photos: int) -> dict[str, float]:
    """Figures of a session of so many new photos.

    - ``add_photos_seconds``: recording all of them, 1,000 at a time, and in ``add_photos_again_seconds`` a second
      session over the same files; ``add_photos_slowest_ms`` is one batch.
    - ``assign_training_seconds``, ``assign_faces_seconds``: giving all of them ordinals.
    - ``unfinished_shards_ms``, ``load_shard_ms``: finding out what is left, and one shard of it.
    - ``write_training_p50_ms`` … ``write_faces_p95_ms``: one micro-batch of 16 photos with vectors of 512 dimensions.
    """
    engine = create_engine(database_url, statement_seconds=600)
    try:
        session_id = await _new_session(engine)
        took = await _add_photos(engine, session_id, photos)
        again = await _add_photos(engine, await _new_session(engine), photos)
        figures = {
            "photos": float(photos),
            "add_photos_seconds": sum(took),
            "add_photos_slowest_ms": max(took) * 1000,
            "add_photos_again_seconds": sum(again),
            "add_photos_again_slowest_ms": max(again) * 1000,
        }
        figures |= await _work(engine, session_id, "training")
        figures |= await _work(engine, session_id, "face_detection")
        return {name: round(value, 2) for name, value in figures.items()}
    finally:
        await engine.dispose()


async def measure_regrouping(database_url: str, *, session_id: int, model_id: str) -> dict[str, float]:
    """Seconds for what a clustering of all faces writes at its end.

    - ``regroup_settling_seconds``: the first time, when groups without a person get one.
    - ``regroup_unchanged_seconds``: the same groups once more.
    - ``regroup_changed_seconds``: one face of a hundred in another group.

    A statement that took longer than a gateway has patience for would be an error.
    """
    engine = create_engine(database_url)
    try:
        figures = {}
        for name, share in {"settling": 0.0, "unchanged": 0.0, "changed": 0.01}.items():
            groups, outliers = await _found_groups(engine, moved_share=share)
            began = time.perf_counter()
            async with engine.begin() as connection:
                await replace_clustering(
                    connection,
                    former=await remember_persons(connection, model_id=model_id),
                    session_id=session_id,
                    model_id=model_id,
                    parameters={},
                    face_count=sum(len(group.face_ids) for group in groups) + len(outliers),
                    groups=groups,
                    outliers=outliers,
                )
            figures[f"regroup_{name}_seconds"] = round(time.perf_counter() - began, 1)
        return figures
    finally:
        await engine.dispose()


async def _found_groups(engine: AsyncEngine, *, moved_share: float) -> tuple[list[NewGroup], list[int]]:
    """The present groups and the faces in none, after a share of the faces has gone to the next group."""
    async with engine.connect() as connection:
        rows = (
            await connection.execute(
                text("SELECT face_id, group_id, probability FROM face_places ORDER BY group_id, face_id")
            )
        ).all()
    outliers = [row.face_id for row in rows if row.group_id is None]
    members: dict[int, list[tuple[int, float]]] = {}
    for row in rows:
        if row.group_id is not None:
            members.setdefault(row.group_id, []).append((row.face_id, row.probability))
    ids = list(members)
    every = round(1 / moved_share) if moved_share else 0
    found: dict[int, list[tuple[int, float]]] = {group_id: [] for group_id in ids}
    faces = [(place, face) for place, group_id in enumerate(ids) for face in members[group_id]]
    for number, (place, face) in enumerate(faces):
        moves = every and number % every == 0
        found[ids[(place + 1) % len(ids)] if moves else ids[place]].append(face)
    return [
        NewGroup(
            face_ids=[face_id for face_id, _ in faces],
            probabilities=[probability for _, probability in faces],
            cohesion=0.8,
        )
        for faces in found.values()
        if faces
    ], outliers


async def _new_session(engine: AsyncEngine) -> int:
    async with engine.begin() as connection:
        return await sessions.create_session(
            connection,
            name="writing",
            root_path=b"/benchmark",
            config={},
            weights=_WEIGHTS,
            category_id=None,
            shard_size=64,
        )


def _found(number: int) -> Iterator[list[FoundPhoto]]:
    for first in range(0, number, _DISCOVERY_BATCH):
        yield [
            FoundPhoto(
                path=b"/benchmark/%04d/IMG_%08d.jpg" % (one // _PHOTOS_PER_DIRECTORY, one),
                size_bytes=1_000_000 + one * 7919 % 5_000_000,
                modified_ns=one,
            )
            for one in range(first, min(number, first + _DISCOVERY_BATCH))
        ]


async def _add_photos(engine: AsyncEngine, session_id: int, number: int) -> list[float]:
    took = []
    for batch in _found(number):
        began = time.perf_counter()
        async with engine.begin() as connection:
            await photos.add_photos(connection, session_id, batch)
        took.append(time.perf_counter() - began)
    return took


async def _work(engine: AsyncEngine, session_id: int, phase: str) -> dict[str, float]:
    name = phase.removesuffix("_detection").replace("face", "faces")
    began = time.perf_counter()
    async with engine.begin() as connection:
        run = await begin(connection, session_id, phase, model=_MODEL)
    figures = {f"assign_{name}_seconds": time.perf_counter() - began}
    async with engine.begin() as connection:
        await connection.execute(text("ANALYZE run_items"))
    began = time.perf_counter()
    async with engine.connect() as connection:
        left = await shards.unfinished_shards(connection, run)
        figures["unfinished_shards_ms"] = (time.perf_counter() - began) * 1000
        began = time.perf_counter()
        await shards.load_shard(connection, run, left[-1])
        figures["load_shard_ms"] = (time.perf_counter() - began) * 1000
    p50, p95 = np.percentile(await _write_micro_batches(engine, run), [50, 95]) * 1000
    return {**figures, f"write_{name}_p50_ms": float(p50), f"write_{name}_p95_ms": float(p95)}


async def _write_micro_batches(engine: AsyncEngine, run: Run) -> list[float]:
    took: list[float] = []
    for ordinal in range(_MICRO_BATCHES * _MICRO_BATCH // run.shard_size):
        async with engine.connect() as connection:
            items = (await shards.load_shard(connection, run, ordinal)).items
        for first in range(0, len(items), _MICRO_BATCH):
            outcomes = [_outcome(item, run.phase) for item in items[first : first + _MICRO_BATCH]]
            began = time.perf_counter()
            async with engine.begin() as connection:
                await results.write_outcomes(connection, run, outcomes, model_id=_MODEL)
            took.append(time.perf_counter() - began)
    return took


def _outcome(item: ShardItem, phase: str) -> Outcome:
    vector = np.full(_DIMENSION, 0.5, np.float32)
    if phase == "training":
        facts = PhotoFacts(content_sha256=b"\1" * 32, width=4000, height=3000, taken_at="")
        return Outcome(item=item, result=vector, facts=facts, processing_microseconds=1000)
    face = FoundFace(x=0.1, y=0.1, width=0.1, height=0.1, landmarks=((0.1, 0.1),) * 5, score=0.9, embedding=vector)
    return Outcome(item=item, result=(face,), facts=None, processing_microseconds=1000)
