"""The catalogue on a real PostgreSQL: shards, and what became of their photos."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import (
    MODEL,
    begin,
    broken,
    embedded,
    found,
    items_of,
    new_session,
    table,
)
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.runs import lifecycle, results, shards
from triptych_gateway.catalog.sessions import jobs


async def test_photos_get_dense_ordinals_and_shards_are_ranges_of_them(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/%d" % n for n in range(5)], shard_size=2)
        run = await begin(connection, session_id)

        assert (run.total, run.skipped) == (5, 0)
        assert await shards.unfinished_shards(connection, run) == [0, 1, 2]
        loaded = [await shards.load_shard(connection, run, ordinal) for ordinal in (0, 1, 2)]
        assert [[item.ordinal for item in shard.items] for shard in loaded] == [[0, 1], [2, 3], [4]]
        assert [shard.size for shard in await shards.shard_counts(connection, run)] == [2, 2, 1]
        assert {item.path for shard in loaded for item in shard.items} == {b"/photos/%d" % n for n in range(5)}


async def test_writing_outcomes_again_changes_nothing(engine: AsyncEngine) -> None:
    everything = "SELECT * FROM embeddings, run_items ORDER BY 1, 2, 3, 4"
    counters = "SELECT done, failed, found FROM runs WHERE phase = 'training'"
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b", b"/photos/c"])
        run = await begin(connection, session_id)
        one, two, three = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one), broken(two)], model_id=MODEL)
        rows = await table(connection, "SELECT * FROM session_assets ORDER BY id")
        before = str(await table(connection, everything))
        assert await table(connection, counters) == [(1, 1, 0)]

        # The same, the other way round, and a photo twice in one message.
        await results.write_outcomes(connection, run, [embedded(one), broken(two)], model_id=MODEL)
        await results.write_outcomes(connection, run, [broken(one), embedded(two, 9.0)], model_id=MODEL)
        assert str(await table(connection, everything)) == before
        assert await table(connection, "SELECT * FROM session_assets ORDER BY id") == rows
        assert await table(connection, counters) == [(1, 1, 0)]

        await results.write_outcomes(connection, run, [embedded(three), embedded(three)], model_id=MODEL)
        assert await table(connection, counters) == [(2, 1, 0)]
        assert await shards.unfinished_shards(connection, run) == []
        await results.write_outcomes(connection, run, [], model_id=MODEL)


async def test_two_writers_of_the_same_outcomes_at_once_count_them_once(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b"])
        run = await begin(connection, session_id)
        items = await items_of(connection, run)

    async def write() -> None:
        async with engine.begin() as connection:
            await results.write_outcomes(connection, run, [embedded(item) for item in items], model_id=MODEL)

    await asyncio.gather(write(), write())
    async with engine.connect() as connection:
        assert await table(connection, "SELECT done, failed FROM runs WHERE phase = 'training'") == [(2, 0)]
        assert await jobs.count_jobs(connection, session_id) == {"completed": 2}


async def test_facts_errors_and_times_of_photos_are_kept(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b"])
        run = await begin(connection, session_id)
        one, two = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one), broken(two, "It says \0.")], model_id=MODEL)

        asset = await photos.get_asset(connection, one.asset_id)
        found_jobs, total = await jobs.list_jobs(connection, session_id, offset=0, limit=10, status=None)
        failed, failed_total = await jobs.list_jobs(connection, session_id, offset=0, limit=10, status="failed")

    assert (asset.width, asset.height, asset.taken_at) == (640, 480, "2026-01-12T10:00:00")
    assert (total, failed_total, [job.status for job in found_jobs]) == (2, 1, ["completed", "failed"])
    assert found_jobs[0].processing_microseconds == 1500
    assert (failed[0].error_phase, failed[0].error_code, failed[0].error_message) == (
        *("training", "corrupt"),
        "It says \ufffd.",
    )


async def test_what_was_read_of_a_file_that_has_changed_since_is_not_kept_as_its_facts(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a"])
        run = await begin(connection, session_id)
        (item,) = await items_of(connection, run)
        await photos.add_photos(connection, await new_session(connection), [found(b"/photos/a", size=11)])

        await results.write_outcomes(connection, run, [embedded(item)], model_id=MODEL)
        asset = await photos.get_asset(connection, item.asset_id)
        trained = await table(connection, "SELECT trained_at FROM assets")

    assert (asset.content_sha256, asset.width) == (None, None)
    assert trained == [(None,)]


async def test_a_second_session_skips_what_is_embedded_and_a_changed_file_is_work_again(engine: AsyncEngine) -> None:
    paths = [b"/photos/a", b"/photos/b"]
    async with engine.begin() as connection:
        first = await begin(connection, await new_session(connection, paths=paths))
        done = [embedded(item) for item in await items_of(connection, first)]
        await results.write_outcomes(connection, first, done, model_id=MODEL)

        second = await new_session(connection, paths=paths)
        run = await begin(connection, second)
        assert (run.total, run.skipped, await items_of(connection, run)) == (2, 2, [])
        assert await jobs.count_jobs(connection, second) == {"skipped": 2}

        third = await new_session(connection)
        await photos.add_photos(connection, third, [found(paths[0], modified=2), found(paths[1])])
        run = await begin(connection, third)
        assert (run.total, run.skipped) == (2, 1)
        changed = (await items_of(connection, run))[0]
        assert (changed.path, changed.asset_version) == (paths[0], 2)

        # Another model knows none of them.
        other = await begin(connection, await new_session(connection, paths=paths), model="clip/2")
        assert (other.total, other.skipped) == (2, 0)


async def test_photos_that_failed_are_tried_again_in_a_new_run(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a", b"/photos/b"])
        run = await begin(connection, session_id)
        one, two = await items_of(connection, run)
        await results.write_outcomes(connection, run, [embedded(one), broken(two)], model_id=MODEL)
        await lifecycle.update_run(connection, run.id, status="failed")
        await lifecycle.renew_runs_from_failed(connection, session_id)

        again = await begin(connection, session_id)

        assert [item.path for item in await items_of(connection, again)] == [b"/photos/b"]
        assert await jobs.count_jobs(connection, session_id) == {"completed": 1, "pending": 1}
        await results.write_outcomes(
            connection, again, [embedded(item) for item in await items_of(connection, again)], model_id=MODEL
        )
        assert await jobs.count_jobs(connection, session_id) == {"completed": 2}
        assert await table(connection, "SELECT error_code FROM session_assets WHERE error_code IS NOT NULL") == []


async def test_discovery_that_begins_again_leaves_one_row_per_photo(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/\xff\n", b"/photos/b"])
        await photos.add_problems(connection, session_id, [photos.Problem(path=b"/x", code="not_found", message="m")])
        await photos.add_photos(connection, session_id, [found(b"/photos/b")])
        await photos.forget_discovery(connection, session_id)
        await photos.add_photos(connection, session_id, [found(b"/photos/\xff\n"), found(b"/photos/b")])

        found_jobs, total = await jobs.list_jobs(connection, session_id, offset=0, limit=10, status=None)
        _, problems = await photos.list_problems(connection, session_id, offset=0, limit=10)
        versions = await table(connection, "SELECT DISTINCT version FROM assets")

    assert (total, problems, versions) == (2, 0, [(1,)])
    assert {job.path for job in found_jobs} == {b"/photos/\xff\n", b"/photos/b"}
