"""A second session's faces are put into the graph that the first one's clustering kept, by a real clusterer."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from tests.support.emptied_database import database_of_a_file, emptied
from tests.support.grouping_score import adjusted_rand_index
from tests.support.people_by_path import DIMENSION, MODEL, embedding_of
from tests.support.pipeline import Pipeline, pipeline_over
from tests.support.real_servers import PostgresServer
from tests.support.running_workers import Service, until_serving, worker_stack
from tests.support.scripted_workers import ScriptedWorkers, scripted_workers
from triptych_cluster.clustering import Faces, cluster_faces
from triptych_cluster.parameters import parameters_for
from triptych_gateway.catalog.clustering import face_space
from triptych_gateway.catalog.people import corrections, persons
from triptych_gateway.catalog.sessions import sessions
from triptych_gateway.pipeline.ownership import OwnedSession

FIRST, SECOND = 300, 24
"""Photos of the two sessions, each with a face."""


@pytest.fixture(scope="module")
def clusterer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with worker_stack(tmp_path_factory.mktemp("clusterer")) as stack:
        yield stack.start("cluster")


@pytest.fixture(scope="module")
def database_of_file(postgres: PostgresServer) -> Iterator[str]:
    with database_of_a_file(postgres) as url:
        yield url


@pytest.fixture
def database_url(database_of_file: str) -> str:
    return emptied(database_of_file)


@pytest.fixture
def workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        running.facedetect.model = dataclasses.replace(running.facedetect.model, model_id=MODEL, dimension=DIMENSION)
        running.facedetect.embedding_of = embedding_of
        yield running


@pytest_asyncio.fixture
async def pipeline(engine: AsyncEngine, workers: ScriptedWorkers, clusterer: Service) -> AsyncIterator[Pipeline]:
    """Scripted photo services, and the real clusterer."""
    await until_serving(clusterer)
    real = dataclasses.replace(workers, cluster=dataclasses.replace(workers.cluster, address=clusterer.address))
    async with pipeline_over(engine, real) as over:
        yield over


async def train(pipeline: Pipeline, *, folder: str, photos: int) -> tuple[OwnedSession, dict[str, Any]]:
    """Run a session to its end; it, and what the log says of its clustering."""
    owned = await pipeline.take(photo_count=photos, folder=folder)
    with capture_logs() as logs:
        await pipeline.run(owned)
    assert (await pipeline.session(owned)).status == "completed"
    (told,) = [one for one in logs if one["event"] == "phase completed" and one.get("phase") == "clustering"]
    return owned, dict(told)


async def shown_and_from_scratch(pipeline: Pipeline) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The groups that are shown of all faces, and those that grouping them anew would give."""
    async with pipeline.engine.connect() as connection:
        batches = [one async for one in face_space.read_space(connection, model_id=MODEL)]
    faces = {
        name: np.concatenate([getattr(one, name) for one in batches])
        for name in ("face_ids", "photo_ids", "scores", "sizes", "vectors")
    }
    face_ids, vectors = faces.pop("face_ids"), faces.pop("vectors")
    groups = dict(await pipeline.rows("SELECT face_id, coalesce(group_id, -1) FROM face_places WHERE shown"))
    scratch = cluster_faces(Faces(embeddings=vectors, **faces), parameters_for(MODEL), search="exact")
    return np.array([groups[face_id] for face_id in face_ids.tolist()]), scratch.labels


async def kept_rows(pipeline: Pipeline) -> dict[int, tuple[Any, ...]]:
    """What is kept of each face, and the transaction that wrote it."""
    rows = await pipeline.rows(
        "SELECT face_id, xmin::text, neighbour_ids, distances, component, component_mark, dense_group FROM kept_faces"
    )
    return {face_id: tuple(rest) for face_id, *rest in rows}


async def kept_graph(pipeline: Pipeline) -> tuple[Any, ...]:
    ((*graph,),) = await pipeline.rows("SELECT id, version, revision, face_count, group_count FROM kept_graphs")
    return tuple(graph)


async def test_a_second_sessions_faces_join_as_if_all_were_grouped_anew(pipeline: Pipeline) -> None:
    _, first = await train(pipeline, folder="first", photos=FIRST)
    before = await kept_rows(pipeline)

    _, second = await train(pipeline, folder="second", photos=SECOND)

    assert (first["method"], first["reason"]) == ("full", "nothing was kept")
    assert (second["method"], second["reason"]) == ("incremental", "")
    shown, scratch = await shown_and_from_scratch(pipeline)
    assert len(shown) == FIRST + SECOND
    assert adjusted_rand_index(shown, scratch) >= 0.999
    after = await kept_rows(pipeline)
    assert len(after) == FIRST + SECOND
    assert (await kept_graph(pipeline))[2:4] == (2, FIRST + SECOND)
    # What did not change is not written: neither the row nor anything in it.
    unwritten = [face_id for face_id, row in before.items() if after[face_id] == row]
    assert len(unwritten) > FIRST / 3
    assert all(after[face_id][1:] != before[face_id][1:] for face_id in before if face_id not in unwritten)


async def test_groups_that_no_new_face_touches_keep_ids_and_rows(pipeline: Pipeline) -> None:
    rows = "SELECT face_id, group_id, person_id, xmin::text FROM face_places WHERE group_id IS NOT NULL"
    groups = "SELECT id, person_id, xmin::text FROM groups"
    await train(pipeline, folder="first", photos=FIRST)
    faces_before, groups_before = await pipeline.rows(rows), {row[0]: row for row in await pipeline.rows(groups)}

    await train(pipeline, folder="second", photos=SECOND)

    faces_after = {row[0]: row for row in await pipeline.rows(rows)}
    groups_after = {row[0]: row for row in await pipeline.rows(groups)}
    former = {row[0] for row in faces_before}
    members: dict[int, set[int]] = {}
    for face_id, group_id, *_ in faces_after.values():
        members.setdefault(group_id, set()).add(face_id)
    untouched = {group_id for group_id, faces in members.items() if faces <= former}
    stayed = [row for row in faces_before if row[1] in untouched]
    assert len(untouched) >= 5
    assert all(faces_after[row[0]] == row for row in stayed)
    assert all(groups_after[group_id] == groups_before[group_id] for group_id in untouched)


async def test_what_people_said_holds(pipeline: Pipeline) -> None:
    await train(pipeline, folder="first", photos=FIRST)
    (named, other), *_ = [
        (row[0], row[1])
        for row in await pipeline.rows("""
            SELECT a.id, b.id FROM persons a, persons b WHERE a.id < b.id AND a.face_count > 3 AND b.face_count > 3
            ORDER BY a.id, b.id LIMIT 1""")
    ]
    async with pipeline.engine.begin() as connection:
        await persons.change_person(connection, named, {"name": "Ada"})
        ((wrong,),) = await pipeline.rows(
            "SELECT face_id FROM face_places WHERE person_id = :id ORDER BY probability DESC LIMIT 1", id=named
        )
        await corrections.say_who_not(connection, wrong)
        ((moved,),) = await pipeline.rows("SELECT min(face_id) FROM face_places WHERE person_id = :id", id=other)
        await corrections.say_who(connection, moved, named)

    _, told = await train(pipeline, folder="second", photos=SECOND)

    assert told["method"] == "incremental"
    who = dict(await pipeline.rows("SELECT face_id, person_id FROM face_places"))
    assert who[wrong] != named
    assert who[moved] == named
    assert await pipeline.rows("SELECT name FROM persons WHERE id = :id", id=named) == [("Ada",)]


async def test_a_gateway_that_fails_at_the_end_leaves_the_graph_whole(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await train(pipeline, folder="first", photos=FIRST)
    graph, rows = await kept_graph(pipeline), await kept_rows(pipeline)
    owned = await pipeline.take(photo_count=SECOND, folder="second")

    async def lost(*_: object, **__: object) -> None:
        assert await pipeline.rows("SELECT revision FROM kept_graphs") == [(1,)], "nothing of it is seen before the end"
        raise RuntimeError("the gateway is lost")

    with monkeypatch.context() as patch:
        patch.setattr(sessions, "end_session", lost)
        with pytest.raises(RuntimeError, match="lost"):
            await pipeline.run(owned)
    assert (await kept_graph(pipeline), await kept_rows(pipeline)) == (graph, rows)

    with capture_logs() as logs:
        await pipeline.run(owned)
    assert [one["method"] for one in logs if one["event"] == "phase completed" and "method" in one] == ["incremental"]
    shown, scratch = await shown_and_from_scratch(pipeline)
    assert adjusted_rand_index(shown, scratch) >= 0.999


async def test_a_graph_of_another_version_or_a_damaged_one_is_made_anew(pipeline: Pipeline) -> None:
    await train(pipeline, folder="first", photos=FIRST)
    graph = await kept_graph(pipeline)
    for number, (statement, reason) in enumerate(
        [
            ("UPDATE kept_graphs SET version = 'former'", "another version"),
            ("UPDATE kept_faces SET distances = ''", "refused"),
        ]
    ):
        async with pipeline.engine.begin() as connection:
            await connection.execute(text(statement))

        _, told = await train(pipeline, folder=f"more{number}", photos=SECOND)

        assert told["method"] == "full"
        assert reason in told["reason"]
        anew = await kept_graph(pipeline)
        assert (anew[0] > graph[0], anew[1:3]) == (True, (graph[1], 1))
        shown, scratch = await shown_and_from_scratch(pipeline)
        assert adjusted_rand_index(shown, scratch) >= 0.999


async def test_many_new_faces_are_grouped_with_all_others_anew(pipeline: Pipeline) -> None:
    await train(pipeline, folder="first", photos=SECOND)

    _, told = await train(pipeline, folder="second", photos=FIRST)

    assert told["method"] == "full"
    assert f"{FIRST} of {FIRST + SECOND} faces are new" in told["reason"]


async def test_faces_of_missing_photos_leave_the_graph(pipeline: Pipeline) -> None:
    await train(pipeline, folder="first", photos=FIRST)
    async with pipeline.engine.begin() as connection:
        await connection.execute(text("UPDATE assets SET missing_at = now() WHERE id % 20 = 0"))
    gone = {row[0] for row in await pipeline.rows("SELECT f.id FROM faces f WHERE f.asset_id % 20 = 0")}

    _, told = await train(pipeline, folder="second", photos=3)

    assert gone
    assert told["method"] == "incremental"
    rows = await kept_rows(pipeline)
    assert len(rows) == FIRST - len(gone) + 3
    mentioned = np.concatenate([np.frombuffer(row[1], "<i8") for row in rows.values()])
    assert not gone & {*rows, *mentioned.tolist()}
    shown, scratch = await shown_and_from_scratch(pipeline)
    assert adjusted_rand_index(shown, scratch) >= 0.999


async def test_how_long_each_kind_took_is_remembered_apart(pipeline: Pipeline) -> None:
    _, _ = await train(pipeline, folder="first", photos=FIRST)
    await train(pipeline, folder="second", photos=SECOND)

    third, _ = await train(pipeline, folder="third", photos=SECOND)

    kinds = "SELECT method, items FROM phase_history WHERE phase = 'clustering' ORDER BY id"
    assert await pipeline.rows(kinds) == [
        ("full", FIRST),
        ("incremental", FIRST + SECOND),
        ("incremental", FIRST + 2 * SECOND),
    ]
    evidence = (await pipeline.evidence(third))["clustering"]
    assert [one.items for one in evidence.history] == [FIRST + SECOND]


async def test_faces_are_sent_with_their_size_in_pixels(engine: AsyncEngine, workers: ScriptedWorkers) -> None:
    async with pipeline_over(engine, workers) as scripted:
        owned = await scripted.take(photo_count=5)
        await scripted.run(owned)

    (asked,) = [one for one in workers.cluster.calls if one.is_work]
    # The scripted detector finds a box of a fifth of a photo of 640 × 480.
    assert {round(size) for size in asked.sizes} == {96}
