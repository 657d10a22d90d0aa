"""The clusterer, or the gateway, is killed while a second session's faces join what the first one's clustering kept."""

import asyncio
import dataclasses
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import table
from tests.support.cutting_proxy import CuttingProxy, Way, cutting_proxy
from tests.support.people_by_path import DIMENSION, MODEL, embedding_of
from tests.support.pipeline import pipeline_over
from tests.support.real_servers import DEADLINE_SECONDS, PostgresServer, nats_server
from tests.support.running_workers import Service, Stack, until_serving, worker_stack
from tests.support.scripted_stack import Servers, Watch
from tests.support.scripted_workers import ScriptedWorkers, scripted_workers
from triptych_cluster.clustering import Faces
from triptych_cluster.kept.incremental import cluster_to_keep
from triptych_cluster.parameters import parameters_for
from triptych_gateway.catalog.clustering import face_space

FIRST, SECOND = 300, 24
"""Photos of the two sessions, each with a face."""
MOMENTS: list[tuple[Way, int]] = [("asked", 50_000), ("said", 600), ("said", 12_000)]
"""In the midst of the faces that are sent, just after the first that is answered, and amid what is to be kept."""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with worker_stack(tmp_path_factory.mktemp("services")) as stack:
        yield stack


@pytest.fixture(scope="module")
def clusterer(services: Stack) -> Service:
    service = services.start("cluster")
    asyncio.run(until_serving(service))
    return service


@pytest.fixture
def proxy(clusterer: Service) -> Iterator[CuttingProxy]:
    """In front of a clusterer that is not to be killed: for one that is, have it lead elsewhere."""
    with cutting_proxy(clusterer.address) as running:
        yield running


@pytest.fixture
def workers(proxy: CuttingProxy) -> Iterator[ScriptedWorkers]:
    """Scripted photo services, and a real clusterer behind the proxy."""
    with scripted_workers() as running:
        running.facedetect.model = dataclasses.replace(running.facedetect.model, model_id=MODEL, dimension=DIMENSION)
        running.facedetect.embedding_of = embedding_of
        yield dataclasses.replace(running, cluster=dataclasses.replace(running.cluster, address=proxy.address))


async def kept(engine: AsyncEngine) -> dict[int, tuple[object, ...]]:
    """What is kept of each face."""
    async with engine.connect() as connection:
        rows = await table(
            connection,
            "SELECT face_id, neighbour_ids, distances, component, dense_group, component_mark FROM kept_faces",
        )
    return {face_id: tuple(rest) for face_id, *rest in rows}


async def graphs(engine: AsyncEngine) -> list[tuple[int, int]]:
    """Revision and number of faces of each graph that is kept."""
    async with engine.connect() as connection:
        return [
            (revision, faces)
            for revision, faces in await table(connection, "SELECT revision, face_count FROM kept_graphs")
        ]


async def assert_all_is_as_undisturbed(engine: AsyncEngine) -> None:
    """All faces are grouped, and their graph kept, as one run of all of them has it; nothing was grouped anew."""
    async with engine.connect() as connection:
        batches = [one async for one in face_space.read_space(connection, model_id=MODEL)]
        shown = dict(await table(connection, "SELECT face_id, group_id FROM face_places WHERE shown"))
        methods = await table(connection, "SELECT method FROM phase_history WHERE phase = 'clustering' ORDER BY id")
    found = {
        name: np.concatenate([getattr(one, name) for one in batches])
        for name in ("face_ids", "photo_ids", "scores", "sizes", "vectors")
    }
    ids, vectors = found.pop("face_ids"), found.pop("vectors")
    whole = cluster_to_keep(Faces(embeddings=vectors, **found), ids, parameters_for(MODEL), search="exact")

    labels = whole.grouping.labels
    wanted = {frozenset(ids[labels == label].tolist()) for label in range(len(whole.grouping.cohesions))}
    members: dict[int, set[int]] = {}
    for face_id, group_id in shown.items():
        if group_id is not None:
            members.setdefault(group_id, set()).add(face_id)
    assert len(wanted) > 20
    assert {frozenset(faces) for faces in members.values()} == wanted
    assert [method for (method,) in methods] == ["full", "incremental"]
    assert await graphs(engine) == [(2, FIRST + SECOND)]
    rows, graph = await kept(engine), whole.kept.faces.graph
    assert rows.keys() == set(ids.tolist())
    for place, face_id in enumerate(ids.tolist()):
        neighbour_ids, distances, component, group, _ = rows[face_id]
        linked = graph.neighbours[place] >= 0
        assert isinstance(neighbour_ids, bytes)
        assert isinstance(distances, bytes)
        assert set(np.frombuffer(neighbour_ids, "<i8")) == set(ids[graph.neighbours[place][linked]])
        np.testing.assert_allclose(np.frombuffer(distances, "<f4"), graph.distances[place][linked], atol=1e-5)
        assert (component, group) == (whole.kept.components[place], whole.kept.groups[place])


@pytest.mark.parametrize("moment", MOMENTS[:2])
async def test_the_clusterer_is_killed(
    moment: tuple[Way, int], engine: AsyncEngine, services: Stack, proxy: CuttingProxy, workers: ScriptedWorkers
) -> None:
    way, byte_count = moment
    dying = services.start("cluster")
    await until_serving(dying)
    lasting, proxy.target = proxy.target, dying.address
    async with pipeline_over(engine, workers) as pipeline:
        await pipeline.run(await pipeline.take(photo_count=FIRST, folder="first"))
        before = await kept(engine)
        killed = proxy.cut(way=way, byte_count=byte_count, then=partial(os.kill, dying.process.pid, signal.SIGKILL))
        owned = await pipeline.take(photo_count=SECOND, folder="second")
        running = asyncio.create_task(pipeline.run(owned))

        assert await asyncio.to_thread(killed.wait, DEADLINE_SECONDS)
        assert await asyncio.to_thread(dying.process.wait, DEADLINE_SECONDS) == -signal.SIGKILL
        services.started.remove(dying.process)
        assert await kept(engine) == before, "what is kept stays as it was"
        proxy.target = lasting
        await running

        assert (await pipeline.session(owned)).status == "completed"
    await assert_all_is_as_undisturbed(engine)


@pytest.fixture
def servers(postgres: PostgresServer, database_url: str, workers: ScriptedWorkers, tmp_path: Path) -> Iterator[Servers]:
    with nats_server(tmp_path) as nats_url:
        yield Servers(postgres=postgres, database_url=database_url, nats_url=nats_url, workers=workers, folder=tmp_path)


async def test_the_gateway_is_killed(servers: Servers, proxy: CuttingProxy, engine: AsyncEngine) -> None:
    session_id, before = await asyncio.to_thread(_have_a_gateway_killed, servers, proxy)
    assert await graphs(engine) == [(1, FIRST)], "what is kept stays as it was"

    def run_to_the_end() -> None:
        with servers.stack() as again:
            after = Watch(again, session_id, seen=before.seen)
            after.until("completed")
            assert after.percentages() == sorted(after.percentages())

    await asyncio.to_thread(run_to_the_end)
    await assert_all_is_as_undisturbed(engine)


def _have_a_gateway_killed(servers: Servers, proxy: CuttingProxy) -> tuple[int, Watch]:
    """Kill it while a second session's faces are grouped; that session, and what was seen of it."""
    with servers.stack() as stack:
        way, byte_count = MOMENTS[-1]
        first = stack.create(servers.folder / "first", photos=FIRST)
        stack.start(first)
        Watch(stack, first).until("completed")
        killed = proxy.cut(way=way, byte_count=byte_count, then=stack.gateway.process.kill)
        second = stack.create(servers.folder / "second", photos=SECOND)
        watch = Watch(stack, second)
        watch.look()
        stack.start(second)
        assert killed.wait(DEADLINE_SECONDS)
        assert stack.gateway.process.wait(DEADLINE_SECONDS) == -signal.SIGKILL
    return second, watch
