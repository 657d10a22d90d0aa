"""Plans of runs in the catalogue on a real PostgreSQL: which photos get places, and what becomes of places."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import MODEL, begin, embedded, items_of, new_session, table
from triptych_gateway.catalog.runs import planning, results, shards


@pytest.mark.parametrize("slice_rows", [1, 2, 7, 1000])
async def test_a_plan_is_the_same_in_however_many_slices_it_is_written(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, slice_rows: int
) -> None:
    paths = [b"/photos/%d" % n for n in range(7)]
    async with engine.begin() as connection:
        earlier = await begin(connection, await new_session(connection, paths=paths[:3]))
        items = await items_of(connection, earlier)
        await results.write_outcomes(connection, earlier, [embedded(one) for one in items], model_id=MODEL)

        monkeypatch.setattr(planning, "SLICE", slice_rows)
        monkeypatch.setattr(planning, "JOBS_SLICE", slice_rows)
        session_id = await new_session(connection, paths=paths)
        run = await begin(connection, session_id)
        left = await items_of(connection, run)
        jobs_of_session = await table(
            connection,
            "SELECT a.path, s.status, s.completed_at IS NULL FROM session_assets s JOIN assets a ON a.id = s.asset_id "
            "WHERE s.session_id = :id ORDER BY a.path",
            id=session_id,
        )

    assert (run.total, run.skipped) == (7, 3)
    assert sorted(item.ordinal for item in left) == [0, 1, 2, 3]
    assert [item.path for item in left] == paths[3:]
    assert jobs_of_session == [
        *((path, "skipped", False) for path in paths[:3]),
        *((path, "pending", True) for path in paths[3:]),
    ]


async def test_every_stretch_of_a_run_is_spread_over_all_photos(engine: AsyncEngine) -> None:
    paths = [b"/photos/%03d" % n for n in range(200)]
    async with engine.begin() as connection:
        run = await begin(connection, await new_session(connection, paths=paths, shard_size=20))
        shards_of_run = [await shards.load_shard(connection, run, ordinal) for ordinal in range(10)]

    for shard in shards_of_run:
        fifths = [paths.index(item.path) // 40 for item in shard.items]
        assert all(3 <= fifths.count(fifth) <= 5 for fifth in range(5))


async def test_jobs_that_stay_as_they_are_are_not_written(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/%d" % n for n in range(5)])
        written = "SELECT id, xmin::text::bigint FROM session_assets ORDER BY id"
        before = await table(connection, written)
    async with engine.begin() as connection:
        await begin(connection, session_id)
        assert await table(connection, written) == before


async def test_results_of_another_model_only_are_counted_as_renewed(engine: AsyncEngine) -> None:
    paths = [b"/photos/%d" % n for n in range(5)]
    async with engine.begin() as connection:
        for model, known in (("clip/0", paths[:4]), ("clip/00", paths[:1]), (MODEL, paths[3:])):
            earlier = await begin(connection, await new_session(connection, paths=known), model=model)
            items = await items_of(connection, earlier)
            await results.write_outcomes(connection, earlier, [embedded(one) for one in items], model_id=model)
        run = await begin(connection, await new_session(connection, paths=paths))

    # The first has results of two others, the fourth one of this model too, the fifth of this alone.
    assert (run.total, run.skipped, run.renewed) == (5, 2, 3)


async def test_a_photo_whose_row_goes_takes_its_places_in_all_runs_along(engine: AsyncEngine) -> None:
    paths = [b"/photos/%d" % n for n in range(5)]
    async with engine.begin() as connection:
        runs = [await begin(connection, await new_session(connection, paths=paths)) for _ in range(2)]

        await connection.execute(text("DELETE FROM assets WHERE path = ANY(:paths)"), {"paths": paths[1:3]})

        dangling = "SELECT count(*) FROM run_items i WHERE NOT EXISTS (SELECT FROM assets a WHERE a.id = i.asset_id)"
        assert await table(connection, dangling) == [(0,)]
        for run in runs:
            assert [item.path for item in await items_of(connection, run)] == [paths[0], *paths[3:]]


async def test_a_place_whose_photo_is_gone_is_passed_over(engine: AsyncEngine) -> None:
    """A row that goes in the moment in which a run is planned may leave its place behind."""
    paths = [b"/photos/%d" % n for n in range(4)]
    async with engine.begin() as connection:
        run = await begin(connection, await new_session(connection, paths=paths, shard_size=2))
        await connection.execute(
            text("INSERT INTO run_items (run_id, ordinal, asset_id) VALUES (:id, 4, 0)"), vars(run)
        )

        assert [item.path for item in await items_of(connection, run)] == paths
        assert await shards.unfinished_shards(connection, run) == [0, 1, 2]
        assert (await shards.load_shard(connection, run, 2)).items == ()
