"""What is searched is kept up to date beside those who write, and built anew when that pays or is asked for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import table
from tests.support.real_servers import eventually
from tests.support.searchable import DIMENSION, MODEL, add, found, put, vectors_of
from triptych_gateway.catalog.database import SEARCH_LOCK
from triptych_gateway.catalog.search import search_spaces, search_tables
from triptych_gateway.catalog.search.search_spaces import SearchSpace
from triptych_gateway.pipeline import search_upkeep
from triptych_gateway.pipeline.search_upkeep import SearchUpkeep
from triptych_gateway.pipeline.taking_turns import lock_if_free

BUILD_BYTES = 2**26


@pytest_asyncio.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as opened:
        yield opened


def upkeep(engine: AsyncEngine, *, exact_below: int = 1000) -> SearchUpkeep:
    return SearchUpkeep(engine, exact_below=exact_below, build_memory_bytes=BUILD_BYTES)


async def space_of(connection: AsyncConnection, model: str = MODEL) -> SearchSpace:
    async with connection.begin():
        space = await search_spaces.find_space(connection, model)
    assert space is not None
    return space


async def held(connection: AsyncConnection, space: SearchSpace) -> set[int]:
    """Photos in a space's table."""
    async with connection.begin():
        return {row[0] for row in await table(connection, f"SELECT asset_id FROM {space.table}")}  # noqa: S608


@pytest.mark.parametrize("exact_below", [1000, 10], ids=["compared", "by graph"])
async def test_what_is_written_is_found_before_and_after_it_is_in_the_table(
    engine: AsyncEngine, connection: AsyncConnection, exact_below: int
) -> None:
    vectors = vectors_of(60)
    ids = await add(connection, vectors[:50])
    assert (await found(connection, vectors[7]))[0] == ids[7]

    await upkeep(engine, exact_below=exact_below).look(connection)
    space = await space_of(connection)
    assert (space.photo_count, space.has_graph, space.dimension) == (50, exact_below == 10, DIMENSION)
    assert await held(connection, space) == set(ids)
    assert (await found(connection, vectors[7]))[0] == ids[7]

    more = await add(connection, vectors[50:])
    assert (await found(connection, vectors[55]))[0] == more[5]
    await upkeep(engine, exact_below=exact_below).look(connection)
    assert await held(connection, await space_of(connection)) == {*ids, *more}
    assert (await found(connection, vectors[55]))[0] == more[5]


@pytest.mark.parametrize("exact_below", [1000, 10], ids=["compared", "by graph"])
async def test_a_vector_that_changes_or_goes_is_followed(
    engine: AsyncEngine, connection: AsyncConnection, exact_below: int
) -> None:
    vectors = vectors_of(30)
    ids = await add(connection, vectors)
    keeper = upkeep(engine, exact_below=exact_below)
    await keeper.look(connection)

    async with connection.begin():
        await put(connection, ids[0], -vectors[0])
        await connection.execute(text("DELETE FROM embeddings WHERE asset_id = :id"), {"id": ids[1]})
    for _ in range(2):
        assert (await found(connection, -vectors[0]))[0] == ids[0]
        assert ids[1] not in await found(connection, vectors[1], limit=100)
        await keeper.look(connection)

    space = await space_of(connection)
    assert await held(connection, space) == set(ids) - {ids[1]}
    assert space.photo_count == 29


async def test_results_of_a_restart_count_once_they_are_shown(engine: AsyncEngine, connection: AsyncConnection) -> None:
    vectors = vectors_of(5)
    ids = await add(connection, vectors)
    keeper = upkeep(engine)
    await keeper.look(connection)
    async with connection.begin():
        await put(connection, ids[0], -vectors[0], generation=7)
    assert (await found(connection, -vectors[0]))[0] != ids[0]

    async with connection.begin():
        await connection.execute(text("DELETE FROM embeddings WHERE asset_id = :id AND generation = 1"), {"id": ids[0]})
        await connection.execute(text("UPDATE embeddings SET generation = 1 WHERE generation = 7"))
    for _ in range(2):
        assert (await found(connection, -vectors[0]))[0] == ids[0]
        await keeper.look(connection)


async def test_a_rebuild_makes_a_table_anew_and_a_second_request_before_it_changes_nothing(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    ids = await add(connection, vectors_of(30))
    keeper = upkeep(engine, exact_below=10)
    await keeper.look(connection)
    before = await space_of(connection)
    for _ in range(2):
        async with connection.begin():
            await search_spaces.ask_for_rebuild(connection, MODEL)

    await keeper.look(connection)
    await keeper.look(connection)

    after = await space_of(connection)
    assert after.table_number == (before.table_number or 0) + 1
    assert (after.rebuild_asked_at, after.build_stage, after.photo_count, after.has_graph) == (None, None, 30, True)
    assert await held(connection, after) == set(ids)
    async with connection.begin():
        tables = await table(connection, "SELECT tablename FROM pg_tables WHERE tablename LIKE 'search_vectors_%'")
    assert tables == [(after.table,)]


async def test_what_comes_while_a_table_is_built_is_found_and_put_into_it(
    engine: AsyncEngine, connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await add(connection, vectors_of(30))
    keeper = upkeep(engine, exact_below=10)
    await keeper.look(connection)
    late: list[int] = []
    link = search_tables.link

    async def link_while_others_write(one: AsyncConnection, number: int, **how: Any) -> None:
        await link(one, number, **how)
        async with engine.connect() as other:
            late.extend(await add(other, vectors_of(3, seed=1)))
            await other.execute(text("DELETE FROM embeddings WHERE asset_id = :id"), {"id": ids[0]})
            await other.commit()
            assert (await found(other, vectors_of(3, seed=1)[2]))[0] == late[2]

    monkeypatch.setattr(search_tables, "link", link_while_others_write)
    async with connection.begin():
        await search_spaces.ask_for_rebuild(connection, None)
    await keeper.look(connection)
    monkeypatch.undo()

    assert (await found(connection, vectors_of(3, seed=1)[2]))[0] == late[2]
    await keeper.look(connection)
    space = await space_of(connection)
    assert await held(connection, space) == {*ids[1:], *late}
    assert space.photo_count == 32


async def test_where_very_much_waits_the_graph_is_built_anew(engine: AsyncEngine, connection: AsyncConnection) -> None:
    await add(connection, vectors_of(20))
    keeper = upkeep(engine, exact_below=10)
    await keeper.look(connection)
    before = await space_of(connection)
    async with connection.begin():
        await connection.execute(
            text("""
                INSERT INTO assets (path, size_bytes, modified_ns)
                SELECT convert_to('/many-' || n, 'UTF8'), 1, 1 FROM generate_series(1, 5001) AS n""")
        )
        await connection.execute(
            text("""
                INSERT INTO embeddings (asset_id, model_id, generation, asset_version, embedding)
                SELECT id, 'clip/1', 1, 1, CAST('[1,2,3,4,5,6,7,' || id || ']' AS vector) FROM assets a
                WHERE NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.asset_id = a.id)""")
        )

    await keeper.look(connection)

    after = await space_of(connection)
    assert after.table_number != before.table_number
    assert after.photo_count == 5021
    async with connection.begin():
        assert await search_spaces.count_waiting(connection, MODEL) == 0


async def test_a_space_whose_vectors_are_gone_goes_with_its_table(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    await add(connection, vectors_of(3))
    await add(connection, vectors_of(3, dimension=5), model="another/1")
    keeper = upkeep(engine)
    await keeper.look(connection)
    async with connection.begin():
        await connection.execute(text("DELETE FROM embeddings WHERE model_id = :model"), {"model": MODEL})
        # As where it was never built.
        await connection.execute(text("INSERT INTO search_spaces (model_id) VALUES ('gone/1')"))

    await keeper.look(connection)

    async with connection.begin():
        assert [space.model_id for space in await search_spaces.list_spaces(connection)] == ["another/1"]
        assert len(await table(connection, "SELECT 1 FROM pg_tables WHERE tablename LIKE 'search_vectors_%'")) == 1


async def test_vectors_too_long_for_a_table_are_compared_one_by_one(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    vectors = vectors_of(3, dimension=search_tables.MOST_DIMENSIONS + 1)
    ids = await add(connection, vectors)
    keeper = upkeep(engine, exact_below=0)

    await keeper.look(connection)
    await keeper.look(connection)

    space = await space_of(connection)
    assert (space.table, space.dimension) == (None, search_tables.MOST_DIMENSIONS + 1)
    assert await found(connection, vectors[1], limit=1) == [ids[1]]


async def test_the_longest_vectors_of_a_table_fit_and_have_a_graph(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    vectors = vectors_of(12, dimension=search_tables.MOST_DIMENSIONS)
    ids = await add(connection, vectors * 1e6)

    await upkeep(engine, exact_below=10).look(connection)

    assert (await space_of(connection)).has_graph
    assert await found(connection, vectors[3], limit=1) == [ids[3]]


async def test_what_a_killed_gateway_left_unfinished_is_removed_and_built_again(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    await add(connection, vectors_of(3))
    keeper = upkeep(engine)
    await keeper.look(connection)
    space = await space_of(connection)
    async with connection.begin():
        await search_tables.begin_table(connection, space, dimension=DIMENSION)

    async with connection.begin():
        assert await search_tables.remove_leftovers(connection) == ["search_vectors_2"]
        assert await search_tables.remove_leftovers(connection) == []

    space = await space_of(connection)
    assert (space.table, space.building_number, space.build_stage) == ("search_vectors_1", None, None)


@pytest.mark.parametrize("exact_below", [1000, 10], ids=["compared", "by graph"])
@pytest.mark.parametrize("hidden", ["missing", "changed"])
async def test_where_the_nearest_are_not_shown_the_next_ones_are_found(
    engine: AsyncEngine, connection: AsyncConnection, hidden: str, exact_below: int
) -> None:
    vectors = vectors_of(400)
    ids = await add(connection, vectors)
    await upkeep(engine, exact_below=exact_below).look(connection)
    order = np.argsort(-(vectors @ vectors[0]) / np.linalg.norm(vectors, axis=1))
    change = "missing_at = now()" if hidden == "missing" else "version = version + 1"
    async with connection.begin():
        await connection.execute(
            text(f"UPDATE assets SET {change} WHERE id = ANY(CAST(:ids AS bigint[]))"),  # noqa: S608 - constants
            {"ids": [ids[place] for place in order[:390]]},
        )

    assert await found(connection, vectors[0]) == [ids[place] for place in order[390:]]


async def test_where_shared_memory_is_too_small_the_graph_is_built_by_one_process(
    engine: AsyncEngine, connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = vectors_of(20)
    ids = await add(connection, vectors)
    create = search_tables._create_graph

    async def create_in_a_container(
        one: AsyncConnection, number: int, *, memory_bytes: int, workers: int | None
    ) -> None:
        if workers is None:
            await one.execute(text("DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$"))
        await create(one, number, memory_bytes=memory_bytes, workers=workers)

    monkeypatch.setattr(search_tables, "_create_graph", create_in_a_container)
    await upkeep(engine, exact_below=10).look(connection)

    assert (await space_of(connection)).has_graph
    assert await found(connection, vectors[3], limit=1) == [ids[3]]


@contextlib.asynccontextmanager
async def at_work(engine: AsyncEngine) -> AsyncIterator[None]:
    task = asyncio.create_task(upkeep(engine).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_upkeep, "_LOOK_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(search_upkeep, "_ASK_FOR_THE_LOCK_EVERY_SECONDS", 0.02)


@pytest.mark.usefixtures("quick")
async def test_one_gateway_of_all_keeps_the_tables_and_another_takes_over(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    await add(connection, vectors_of(3))

    async def is_kept() -> bool:
        async with connection.begin():
            space = await search_spaces.find_space(connection, MODEL)
            return space is not None and await search_spaces.count_waiting(connection, MODEL) == 0

    async with engine.connect() as other:
        assert (await table(other, f"SELECT pg_try_advisory_lock({SEARCH_LOCK})"))[0][0]
        await other.commit()
        async with lock_if_free(engine, SEARCH_LOCK) as held_back:
            assert held_back is None
        async with at_work(engine):
            await table(other, f"SELECT pg_advisory_unlock({SEARCH_LOCK})")
            await eventually(is_kept, "the tables are kept")


@pytest.mark.usefixtures("quick")
async def test_a_lost_connection_is_made_again(engine: AsyncEngine, connection: AsyncConnection) -> None:
    async def photos(count: int) -> bool:
        async with connection.begin():
            space = await search_spaces.find_space(connection, MODEL)
            return space is not None and space.photo_count == count

    await add(connection, vectors_of(3))
    async with at_work(engine):
        await eventually(lambda: photos(3), "the first are in the table")
        async with connection.begin():
            ended = await table(
                connection,
                f"""SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                WHERE l.locktype = 'advisory' AND l.objid = {SEARCH_LOCK} AND d.datname = current_database()""",  # noqa: S608
            )
        assert ended == [(True,)]
        await add(connection, vectors_of(2, seed=1))
        await eventually(lambda: photos(5), "the others are, too")
