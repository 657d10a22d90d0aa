"""Before the first phase: history or a probe of each service, what lies ahead, and the session's weights."""

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import WEIGHTS, begin, embedded, items_of
from tests.support.emptied_database import database_of_a_file, emptied
from tests.support.pipeline import Pipeline, pipeline_over
from tests.support.real_servers import PostgresServer
from tests.support.scripted_workers import ScriptedWorkers, Worker, scripted_workers
from triptych.v1 import progress_event_pb2
from triptych_common.progress.events import PHASE_NAMES
from triptych_common.progress.evidence import Evidence, Timing, evidence_from_wire
from triptych_gateway.catalog.runs import history, lifecycle, results
from triptych_gateway.catalog.runs.expectations import SURE_SPREAD, FacesSeen, expect_faces
from triptych_gateway.pipeline.estimates import probe
from triptych_gateway.pipeline.estimates.clustering_forecast import CLUSTERING_DEVICE
from triptych_gateway.pipeline.estimates.probe import CLUSTERING_SIZE_BEYOND, CLUSTERING_SIZES, LEAST_WORK
from triptych_gateway.pipeline.ownership import OwnedSession

PHOTOS = 60
PROBED_PHOTOS = 10
PROBE = [1, 5, 5]
"""Photos of each call of a probe: one to warm up, then as many calls as a run begins with."""


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
        yield running


@pytest_asyncio.fixture
async def pipeline(engine: AsyncEngine, workers: ScriptedWorkers) -> AsyncIterator[Pipeline]:
    async with pipeline_over(engine, workers) as over:
        yield over


async def remember(pipeline: Pipeline, *, seconds: float, phase: str, model_id: str, device: str) -> None:
    """Have the history hold a run of 100 items that took so long."""
    async with pipeline.engine.begin() as connection:
        await history.record(connection, phase=phase, model_id=model_id, device=device, items=100, seconds=seconds)


async def remember_all(pipeline: Pipeline, workers: ScriptedWorkers, *seconds: float) -> None:
    """Have it hold such a run of each phase, with these workers' models."""
    workers_in_order = (workers.embedder, workers.facedetect, workers.cluster)
    for phase, worker, taken in zip(WEIGHTS, workers_in_order, seconds, strict=True):
        await remember(pipeline, seconds=taken, phase=phase, model_id=worker.model.model_id, device=worker.model.device)


async def announced(pipeline: Pipeline, owned: OwnedSession) -> dict[str, progress_event_pb2.Lifecycle]:
    """The last lifecycle event of each phase that waits in the outbox."""
    rows = await pipeline.rows("SELECT payload FROM outbox ORDER BY id")
    events = [progress_event_pb2.ProgressEvent.FromString(payload) for (payload,) in rows]
    assert {event.session_id for event in events} == {owned.session_id}
    return {PHASE_NAMES[event.phase]: event.lifecycle for event in events}


async def test_the_first_session_probes_each_service_and_keeps_what_it_learnt(
    pipeline: Pipeline, workers: ScriptedWorkers
) -> None:
    workers.facedetect.faces_per_photo = 3
    owned = await pipeline.take(photo_count=PHOTOS)

    await pipeline.prepare(owned)

    evidence = await pipeline.evidence(owned)
    for phase, worker in (("training", workers.embedder), ("face_detection", workers.facedetect)):
        assert sorted(worker.probes()) == PROBE
        assert [one.items for one in evidence[phase].probe] == [PROBED_PHOTOS], "the one to warm up with is not timed"
        assert (evidence[phase].expected_items, evidence[phase].expected_items_spread) == (PHOTOS, SURE_SPREAD)
    assert workers.cluster.probes() == list(CLUSTERING_SIZES)
    assert [one.items for one in evidence["clustering"].probe] == list(CLUSTERING_SIZES)
    faces = expect_faces(known=0, photos=PHOTOS, seen=FacesSeen(photos=PROBED_PHOTOS, faces=3 * PROBED_PHOTOS))
    assert evidence["clustering"].expected_items == faces.items
    assert evidence["clustering"].expected_items_spread == faces.spread
    for phase, told in (await announced(pipeline, owned)).items():
        assert evidence[phase].history == ()
        assert all(one.seconds > 0 for one in evidence[phase].probe)
        assert evidence_from_wire(told.evidence) == evidence[phase], "the aggregator is told the same"
    assert (await pipeline.session(owned)).prepared_at is not None


async def test_a_probe_is_no_work(pipeline: Pipeline, workers: ScriptedWorkers) -> None:
    """It belongs to no run, so services report no progress of it, and nothing that it computes is stored."""
    owned = await pipeline.take(photo_count=PHOTOS)

    await pipeline.prepare(owned)

    for worker in (workers.embedder, workers.facedetect, workers.cluster):
        assert worker.calls
        assert not any(call.is_work for call in worker.calls)
    for name in ("embeddings", "face_scans", "faces", "run_items", "phase_history", "clusterings"):
        assert await pipeline.rows(f"SELECT count(*) FROM {name}") == [(0,)]  # noqa: S608 - one of these names
    assert await pipeline.rows("SELECT DISTINCT status FROM session_assets") == [("pending",)]
    assert {(run.status, run.done) for run in (await pipeline.runs(owned)).values()} == {("pending", 0)}


async def test_with_history_no_probe_is_made(pipeline: Pipeline, workers: ScriptedWorkers) -> None:
    await remember_all(pipeline, workers, 10.0, 20.0, 3.0)
    await remember_all(pipeline, workers, 11.0, 21.0, 4.0)
    owned = await pipeline.take(photo_count=PHOTOS)

    await pipeline.prepare(owned)

    assert [*workers.embedder.calls, *workers.facedetect.calls, *workers.cluster.calls] == []
    evidence = await pipeline.evidence(owned)
    assert {phase: one.history for phase, one in evidence.items()} == {
        "training": (Timing(100, 11.0), Timing(100, 10.0)),
        "face_detection": (Timing(100, 21.0), Timing(100, 20.0)),
        "clustering": (Timing(100, 4.0), Timing(100, 3.0)),
    }
    assert {one.probe for one in evidence.values()} == {()}
    assert evidence["training"].expected_items == PHOTOS


@pytest.mark.parametrize("has_history", [False, True])
async def test_where_many_faces_are_expected_a_clustering_of_many_is_probed(
    pipeline: Pipeline, workers: ScriptedWorkers, has_history: bool
) -> None:
    """What few faces took says little of many, be it a probe's or a past run's."""
    workers.facedetect.faces_per_photo = 300
    if has_history:
        model = workers.cluster.model
        await remember(pipeline, seconds=1.0, phase="clustering", model_id=model.model_id, device=model.device)
    owned = await pipeline.take(photo_count=PHOTOS)

    await pipeline.prepare(owned)

    evidence = (await pipeline.evidence(owned))["clustering"]
    probed = [CLUSTERING_SIZE_BEYOND] if has_history else [*CLUSTERING_SIZES, CLUSTERING_SIZE_BEYOND]
    assert workers.cluster.probes() == probed
    assert [one.items for one in evidence.probe] == probed
    assert [one.items for one in evidence.history] == ([100] if has_history else [])


async def test_a_past_clustering_of_many_faces_needs_no_probe(pipeline: Pipeline, workers: ScriptedWorkers) -> None:
    workers.facedetect.faces_per_photo = 300
    model = workers.cluster.model
    async with pipeline.engine.begin() as connection:
        await history.record(
            connection,
            phase="clustering",
            model_id=model.model_id,
            device=model.device,
            items=CLUSTERING_SIZE_BEYOND,
            seconds=1.0,
        )

    await pipeline.prepare(await pipeline.take(photo_count=PHOTOS))

    assert workers.cluster.probes() == []


@pytest.mark.parametrize(
    "other",
    [{"model_id": "another/1"}, {"device": "cuda:0"}, {"phase": "face_detection"}],
    ids=lambda one: next(iter(one)),
)
async def test_history_is_of_one_model_on_one_device_in_one_phase(
    pipeline: Pipeline, workers: ScriptedWorkers, other: dict[str, str]
) -> None:
    model = workers.embedder.model
    key = {"phase": "training", "model_id": model.model_id, "device": model.device} | other
    await remember(pipeline, seconds=10.0, **key)
    owned = await pipeline.take(photo_count=PHOTOS)

    await pipeline.prepare(owned)

    training = (await pipeline.evidence(owned))["training"]
    assert training.history == ()
    assert [one.items for one in training.probe] == [PROBED_PHOTOS]


async def test_a_session_that_ran_is_the_history_of_the_next(pipeline: Pipeline, workers: ScriptedWorkers) -> None:
    await pipeline.run(await pipeline.take(photo_count=PHOTOS, folder="first"))
    probes = [list(worker.probes()) for worker in vars(workers).values()]

    second = await pipeline.take(photo_count=PHOTOS, folder="second")
    await pipeline.run(second)

    assert (await pipeline.session(second)).status == "completed"
    assert [worker.probes() for worker in vars(workers).values()] == probes, "the second was not probed"
    taken = await pipeline.rows("SELECT phase, model_id, device, items FROM phase_history ORDER BY id")
    one_run = [
        ("training", "scripted-clip/1", "cpu", PHOTOS),
        ("face_detection", "scripted-faces/1", "cpu", PHOTOS),
        ("clustering", "scripted-faces/1", CLUSTERING_DEVICE, PHOTOS),
    ]
    assert taken == [*one_run, *one_run[:2], (*one_run[2][:3], 2 * PHOTOS)], "clustering takes the whole library"
    assert [len(one.history) for one in (await pipeline.evidence(second)).values()] == [1, 1, 1]


async def test_few_photos_are_not_worth_a_probe(pipeline: Pipeline, workers: ScriptedWorkers) -> None:
    owned = await pipeline.take(photo_count=LEAST_WORK - 1)

    await pipeline.prepare(owned)

    assert workers.embedder.calls == workers.facedetect.calls == []
    evidence = await pipeline.evidence(owned)
    assert (evidence["training"].probe, evidence["training"].expected_items) == ((), LEAST_WORK - 1)
    assert len(evidence["clustering"].probe) == len(CLUSTERING_SIZES), "the library may have many faces already"


async def test_photos_that_are_embedded_already_are_no_work_to_probe_for(
    pipeline: Pipeline, workers: ScriptedWorkers
) -> None:
    model = workers.embedder.model.model_id
    before = await pipeline.take(photo_count=PHOTOS)
    async with pipeline.engine.begin() as connection:
        run = await begin(connection, before.session_id, model=model)
        known = (await items_of(connection, run))[: PHOTOS - LEAST_WORK + 1]
        await results.write_outcomes(connection, run, [embedded(item) for item in known], model_id=model)
    owned = await pipeline.take(photo_count=PHOTOS)

    await pipeline.prepare(owned)

    assert workers.embedder.calls == []
    assert (await pipeline.evidence(owned))["training"].expected_items == LEAST_WORK - 1
    assert sorted(workers.facedetect.probes()) == PROBE


async def test_photos_that_fail_in_a_probe_fail_nothing_but_themselves(
    pipeline: Pipeline, workers: ScriptedWorkers
) -> None:
    """Also the one that a probe warms up with; each is told of once the run comes to it."""
    for worker in (workers.embedder, workers.facedetect):
        worker.is_bad = lambda path: int(path[-5:]) % 2 == 0
    owned = await pipeline.take(photo_count=PHOTOS)

    await pipeline.prepare(owned)

    assert await pipeline.rows("SELECT DISTINCT status, error_code FROM session_assets") == [("pending", None)]
    evidence = await pipeline.evidence(owned)
    assert [one.items for one in evidence["training"].probe] == [PROBED_PHOTOS]
    assert evidence["clustering"].expected_items <= 2 * PHOTOS
    await pipeline.run(owned)
    assert (await pipeline.session(owned)).status == "completed"
    runs = await pipeline.runs(owned)
    assert (runs["training"].done, runs["training"].failed) == (PHOTOS / 2, PHOTOS / 2)


@pytest.mark.parametrize(
    ("name", "code"), [("embedder", "UNAVAILABLE"), ("facedetect", "RESOURCE_EXHAUSTED"), ("cluster", "INTERNAL")]
)
async def test_a_service_in_trouble_leaves_its_phase_without_evidence(
    pipeline: Pipeline, workers: ScriptedWorkers, name: str, code: str
) -> None:
    worker: Worker = getattr(workers, name)
    worker.trouble = grpc.StatusCode[code]
    owned = await pipeline.take(photo_count=PHOTOS)

    await pipeline.prepare(owned)

    troubled = {"embedder": "training", "facedetect": "face_detection", "cluster": "clustering"}[name]
    evidence = await pipeline.evidence(owned)
    assert {phase for phase, one in evidence.items() if not one.probe} == {troubled}
    assert evidence[troubled].expects_items, "how much there is to do is known all the same"
    assert (await pipeline.session(owned)).prepared_at is not None


async def test_a_service_that_hangs_is_not_probed_for_ever(
    pipeline: Pipeline, workers: ScriptedWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.5)
    workers.embedder.holds_probes = workers.cluster.holds_probes = True
    owned = await pipeline.take(photo_count=PHOTOS)

    await pipeline.prepare(owned)

    evidence = await pipeline.evidence(owned)
    assert evidence["training"].probe == evidence["clustering"].probe == ()
    assert (await pipeline.session(owned)).prepared_at is not None


async def test_a_service_that_is_away_costs_the_evidence_and_nothing_else(
    engine: AsyncEngine, workers: ScriptedWorkers
) -> None:
    workers.facedetect.address = "127.0.0.1:1"
    async with pipeline_over(engine, workers) as pipeline:
        owned = await pipeline.take(photo_count=PHOTOS, weighting="calibrated")

        await pipeline.prepare(owned)

        evidence = await pipeline.evidence(owned)
        assert evidence["training"].probe
        assert evidence["face_detection"] == evidence["clustering"] == Evidence(), "without a face model none is known"
        session = await pipeline.session(owned)
        assert (session.weighting, session.weights) == ("fixed", WEIGHTS), "and no share can be told"


@pytest.mark.parametrize(
    ("wanted", "default", "chosen"),
    [
        ("calibrated", "fixed", "calibrated"),
        (None, "calibrated", "calibrated"),
        ("fixed", "calibrated", "fixed"),
        (None, "fixed", "fixed"),
    ],
)
async def test_weights_are_calibrated_where_the_session_or_else_the_installation_wants_it(
    pipeline: Pipeline, workers: ScriptedWorkers, wanted: str | None, default: str, chosen: str
) -> None:
    await remember_all(pipeline, workers, 60.0, 20.0, 20.0)
    owned = await pipeline.take(photo_count=PHOTOS, weighting=wanted)  # type: ignore[arg-type]

    await pipeline.prepare(owned, default_weighting=default)  # type: ignore[arg-type]

    session = await pipeline.session(owned)
    assert session.weighting == chosen
    assert sum(session.weights.values()) == pytest.approx(1, abs=1e-9)
    assert (session.weights == WEIGHTS) == (chosen == "fixed")
    if chosen == "calibrated":
        assert session.weights["training"] == pytest.approx(3 * session.weights["face_detection"])
    for phase, told in (await announced(pipeline, owned)).items():
        assert told.weight == session.weights[phase], "the aggregator weighs likewise"


async def test_weights_are_fixed_at_the_start_whatever_is_learnt_later(
    pipeline: Pipeline, workers: ScriptedWorkers
) -> None:
    await remember_all(pipeline, workers, 60.0, 20.0, 20.0)
    owned = await pipeline.take(photo_count=PHOTOS, weighting="calibrated")
    await pipeline.prepare(owned)
    before = await pipeline.session(owned)

    await remember_all(pipeline, workers, 1.0, 2000.0, 1.0)
    await pipeline.run(owned)

    after = await pipeline.session(owned)
    assert (after.status, after.prepared_at) == ("completed", before.prepared_at)
    assert (after.weights, after.weighting) == (before.weights, "calibrated")
    assert {one.weight for one in (await announced(pipeline, owned)).values()} == set(before.weights.values())


async def test_a_run_that_begins_keeps_the_probe_and_drops_what_its_total_now_says(
    pipeline: Pipeline, workers: ScriptedWorkers
) -> None:
    owned = await pipeline.take(photo_count=PHOTOS)
    await pipeline.prepare(owned)
    prepared = await pipeline.evidence(owned)

    await pipeline.run(owned)

    for phase, evidence in (await pipeline.evidence(owned)).items():
        assert evidence.probe == prepared[phase].probe
        assert not evidence.expects_items


async def test_the_latest_runs_are_prepared(pipeline: Pipeline) -> None:
    """A session that failed and was started again before it was ever prepared has runs of a second number."""
    owned = await pipeline.take(photo_count=PHOTOS)
    async with pipeline.engine.begin() as connection:
        run = (await lifecycle.latest_runs(connection, owned.session_id))["training"]
        await lifecycle.update_run(connection, run.id, status="failed")
        await lifecycle.renew_runs_from_failed(connection, owned.session_id)

    await pipeline.prepare(owned)

    runs = await pipeline.runs(owned)
    assert runs["training"].number == 2
    assert (await pipeline.evidence(owned))["training"].probe
