"""While photos are searched for faces, clustering's forecast is renewed as they are looked at."""

import asyncio
from collections.abc import Iterator

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import FACES, begin, detected, items_of, new_session, table
from tests.support.emptied_database import database_of_a_file, emptied
from tests.support.real_servers import PostgresServer
from triptych.v1 import progress_event_pb2, work_pb2
from triptych_common.progress.evidence import Evidence, Timing, evidence_from_json, evidence_to_json
from triptych_gateway.catalog.runs import leases, lifecycle, results
from triptych_gateway.catalog.runs.expectations import FacesSeen, expect_faces
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.schema import runs
from triptych_gateway.catalog.sessions import control
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.photos.face_forecast import STEP, FaceForecast

PHOTOS = 40
STEP_PHOTOS = round(STEP * PHOTOS)
PROBE = (Timing(500, 0.1),)
FORECAST = Evidence(probe=PROBE, expected_items=999, expected_items_spread=0.9)


class Search:
    """A face-detection run, photo by photo."""

    def __init__(self, owned: OwnedSession, run: Run, engine: AsyncEngine) -> None:
        self.owned = owned
        self.run = run
        self._engine = engine

    async def look_at(self, photos: int, *, faces_per_photo: int) -> None:
        """Find so many faces in each of the next photos."""
        async with self.owned.write() as connection:
            items = (await items_of(connection, self.run))[:photos]
            found = [detected(item, *[1.0] * faces_per_photo) for item in items]
            await results.write_outcomes(connection, self.run, found, model_id=FACES)

    async def forecast(self) -> FaceForecast:
        """The forecast as a gateway begins it that takes up the run as it stands."""
        async with self._engine.connect() as connection:
            run = (await lifecycle.latest_runs(connection, self.run.session_id))["face_detection"]
        return FaceForecast(self.owned, run, model_id=FACES)

    async def expected(self) -> Evidence:
        """What clustering's row says."""
        async with self._engine.connect() as connection:
            latest = await lifecycle.latest_runs(connection, self.run.session_id)
        return evidence_from_json(latest["clustering"].evidence)

    async def announcements(self) -> list[progress_event_pb2.Lifecycle]:
        """What was announced of clustering since it was begun."""
        async with self._engine.connect() as connection:
            rows = await table(connection, "SELECT payload FROM outbox ORDER BY id")
        events = [progress_event_pb2.ProgressEvent.FromString(payload) for (payload,) in rows]
        told = [event.lifecycle for event in events if event.phase == work_pb2.PHASE_CLUSTERING]
        return [one for one in told if one.evidence.expected_items != FORECAST.expected_items]


@pytest.fixture(scope="module")
def database_of_file(postgres: PostgresServer) -> Iterator[str]:
    with database_of_a_file(postgres) as url:
        yield url


@pytest.fixture
def database_url(database_of_file: str) -> str:
    return emptied(database_of_file)


@pytest_asyncio.fixture
async def search(engine: AsyncEngine) -> Search:
    """A run that has looked at nothing yet; clustering has a forecast from before it."""
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/%03d" % number for number in range(PHOTOS)])
        await connection.execute(
            runs.update().where(runs.c.phase == "clustering").values(evidence=evidence_to_json(FORECAST))
        )
        await control.start_session(connection, session_id)
        lease = await leases.claim(connection, holder="the test")
        run = await begin(connection, session_id, "face_detection", model=FACES)
    assert lease is not None
    return Search(OwnedSession(engine, lease), run, engine)


async def test_it_stands_until_a_step_of_the_photos_was_looked_at(search: Search) -> None:
    forecast = await search.forecast()

    await search.look_at(STEP_PHOTOS - 1, faces_per_photo=5)
    await forecast.renew()
    assert (await search.expected(), await search.announcements()) == (FORECAST, [])

    await search.look_at(1, faces_per_photo=5)
    await forecast.renew()
    faces = expect_faces(
        known=5 * STEP_PHOTOS,
        photos=PHOTOS - STEP_PHOTOS,
        seen=FacesSeen(photos=STEP_PHOTOS, faces=5 * STEP_PHOTOS),
    )
    renewed = await search.expected()
    assert (renewed.expected_items, renewed.expected_items_spread) == (faces.items, faces.spread)
    assert renewed.probe == PROBE, "what else is known stays"
    assert [one.evidence.expected_items for one in await search.announcements()] == [faces.items]


async def test_it_comes_nearer_to_the_truth_and_the_last_one_is_sure(search: Search) -> None:
    forecast = await search.forecast()
    spreads = []
    for _ in range(4):
        await search.look_at(PHOTOS // 4, faces_per_photo=3)
        await forecast.renew()
        spreads.append((await search.expected()).expected_items_spread)

    assert spreads == sorted(spreads, reverse=True)
    assert (await search.expected()).expected_items == 3 * PHOTOS


async def test_shards_that_end_together_renew_it_once(search: Search) -> None:
    forecast = await search.forecast()
    await search.look_at(PHOTOS // 2, faces_per_photo=1)

    await asyncio.gather(*(forecast.renew() for _ in range(4)))
    await forecast.renew()

    assert len(await search.announcements()) == 1


async def test_a_run_that_is_taken_up_goes_on_from_where_it_was_announced(search: Search) -> None:
    await search.look_at(PHOTOS // 2, faces_per_photo=1)
    forecast = await search.forecast()

    await forecast.renew()

    assert await search.announcements() == []


async def test_a_clustering_that_has_begun_is_let_be(search: Search) -> None:
    forecast = await search.forecast()
    await search.look_at(PHOTOS, faces_per_photo=1)
    async with search.owned.write() as connection:
        run = (await lifecycle.latest_runs(connection, search.run.session_id))["clustering"]
        await lifecycle.update_run(connection, run.id, status="running", total=PHOTOS)

    await forecast.renew()

    assert await search.expected() == FORECAST
