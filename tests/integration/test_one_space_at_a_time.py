"""A change of the model pack between two sessions: neither search nor clustering ever mixes their vectors."""

import dataclasses
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.pipeline import Pipeline, pipeline_over
from tests.support.scripted_workers import DIMENSION, ScriptedWorkers, scripted_workers
from triptych_gateway.catalog.search import search
from triptych_gateway.pipeline.search_upkeep import SearchUpkeep

FIRST, SECOND = 4, 3
"""Photos of the two sessions, each with a face."""
LONGER = DIMENSION + 2


@pytest.fixture
def workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        yield running


@pytest_asyncio.fixture
async def pipeline(engine: AsyncEngine, workers: ScriptedWorkers) -> AsyncIterator[Pipeline]:
    async with pipeline_over(engine, workers) as over:
        yield over


@pytest_asyncio.fixture
async def trained(pipeline: Pipeline, workers: ScriptedWorkers) -> Pipeline:
    """A session with one pack, then one over other photos with another pack whose vectors are longer."""
    await _train(pipeline, folder="first", photos=FIRST)
    for worker, model_id in ((workers.embedder, "other-clip/1"), (workers.facedetect, "other-faces/1")):
        worker.model = dataclasses.replace(worker.model, model_id=model_id, dimension=LONGER)
    await _train(pipeline, folder="second", photos=SECOND)
    return pipeline


async def _train(pipeline: Pipeline, *, folder: str, photos: int) -> None:
    owned = await pipeline.take(photo_count=photos, folder=folder)
    await pipeline.run(owned)
    assert (await pipeline.session(owned)).status == "completed"


async def test_every_vector_is_stored_under_its_model(trained: Pipeline) -> None:
    expected = [("other-%s/1", LONGER, SECOND), ("scripted-%s/1", DIMENSION, FIRST)]
    for rows, kind in (("embeddings", "clip"), ("faces", "faces")):
        stored = await trained.rows(
            f"SELECT model_id, vector_dims(embedding), count(*) FROM {rows} GROUP BY 1, 2 ORDER BY 1"  # noqa: S608
        )
        assert [tuple(row) for row in stored] == [(name % kind, length, count) for name, length, count in expected]


async def test_each_clustering_is_of_one_models_faces_and_the_others_groups_stay(
    trained: Pipeline, workers: ScriptedWorkers
) -> None:
    asked = [(one.model_id, one.items, one.dimensions) for one in workers.cluster.calls if one.is_work]

    assert asked == [
        ("scripted-faces/1", FIRST, frozenset({DIMENSION})),
        ("other-faces/1", SECOND, frozenset({LONGER})),
    ]
    mixed = await trained.rows("""
        SELECT p.group_id FROM face_places p JOIN faces f ON f.id = p.face_id
        WHERE p.group_id IS NOT NULL GROUP BY p.group_id HAVING count(DISTINCT f.model_id) > 1""")
    assert list(mixed) == []
    shown = await trained.rows("""
        SELECT k.model_id, g.face_count FROM groups g JOIN clusterings k ON k.id = g.clustering_id ORDER BY 1""")
    assert [tuple(row) for row in shown] == [("other-faces/1", SECOND), ("scripted-faces/1", FIRST)]


async def test_a_search_finds_photos_of_its_model_alone_in_tables_or_not(trained: Pipeline) -> None:
    for is_kept in (False, True):
        if is_kept:
            async with trained.engine.connect() as connection:
                await SearchUpkeep(trained.engine, exact_below=1, build_memory_bytes=2**26).look(connection)
        for model_id, length, folder, count in (
            ("scripted-clip/1", DIMENSION, b"/photos/first", FIRST),
            ("other-clip/1", LONGER, b"/photos/second", SECOND),
        ):
            async with trained.engine.connect() as connection:
                found = await search.nearest(
                    connection, np.ones(length, np.float32), model_id=model_id, limit=100, only=search.Filter()
                )
            assert len(found) == count
            assert all(match.asset.path.startswith(folder) for match in found)


async def test_the_model_that_trained_last_is_searched_while_none_answers(trained: Pipeline) -> None:
    async with trained.engine.connect() as connection:
        assert await search.last_model(connection) == "other-clip/1"
