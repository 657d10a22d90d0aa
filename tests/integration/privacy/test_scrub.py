"""Scrubbing a PostgreSQL: what was removed is in no file of it, and what stands in the way is told."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import MODEL, begin, items_of, new_session, table
from tests.support.disk_search import files_with, part_of_half_vector, part_of_vector
from tests.support.real_servers import PostgresServer, postgres_server
from triptych_common.errors import ConfigurationError
from triptych_gateway.catalog.database import create_bare_engine, create_engine
from triptych_gateway.catalog.privacy import forgettings
from triptych_gateway.catalog.privacy.carrying_out import carry_on
from triptych_gateway.catalog.runs import results
from triptych_gateway.catalog.runs.results import Outcome
from triptych_gateway.catalog.sessions import control
from triptych_gateway.pipeline.search_upkeep import SearchUpkeep
from triptych_gateway.scrubbing import tables
from triptych_gateway.scrubbing.scrub import scrub
from triptych_gateway.scrubbing.write_ahead_log import renew_log

DIMENSION = 512
MARK = b"what nobody is to read any more 7c1f0e"


@pytest.fixture(scope="module", params=["on", "off"])
def own_postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """One whose log keeps used files for later, as elsewhere, or removes them, as Triptych's own does."""
    with postgres_server(wal_recycle=request.param, full_page_writes="on") as server:
        yield server


@pytest.fixture
def own_url(own_postgres: PostgresServer) -> Iterator[str]:
    name = own_postgres.create_database()
    yield own_postgres.url(name)
    own_postgres.drop_database(name)


@pytest_asyncio.fixture
async def own_engine(own_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(own_url)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture
async def alone(own_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection in autocommit."""
    engine = create_bare_engine(own_url)
    async with engine.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")
    await engine.dispose()


def vector_of(photo: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(photo).standard_normal(DIMENSION).astype(np.float32)


def patterns(path: bytes, photo: int) -> dict[str, list[bytes]]:
    vector = vector_of(photo)
    return {
        "path": [path],
        "vector": [part_of_vector(vector)],
        "vector that is searched": [part_of_half_vector((vector / np.linalg.norm(vector)).astype(np.float16))],
    }


async def library(engine: AsyncEngine) -> list[tuple[int, bytes]]:
    """Photos with vectors, in a table with a graph; (id, path) of each."""
    async with engine.begin() as connection:
        paths = [b"/photos/one-of-a-kind-%03d.jpg" % number for number in range(40)]
        run = await begin(connection, await new_session(connection, paths=paths))
        items = await items_of(connection, run)
        outcomes = [
            Outcome(item=item, result=vector_of(number), facts=None, processing_microseconds=1)
            for number, item in enumerate(items)
        ]
        await results.write_outcomes(connection, run, outcomes, model_id=MODEL)
    async with engine.connect() as connection:
        await SearchUpkeep(engine, exact_below=10, build_memory_bytes=2**26).look(connection)
        await connection.execute(text("ANALYZE"))
        await connection.commit()
    return [(item.asset_id, item.path) for item in items]


async def test_a_removed_photo_is_in_no_file_of_the_database_and_the_others_are(
    own_postgres: PostgresServer, own_url: str, own_engine: AsyncEngine, alone: AsyncConnection
) -> None:
    places = [own_postgres.embedded.place.data]
    photos = await library(own_engine)
    await alone.execute(text("CHECKPOINT"))
    gone, kept = (patterns(photos[number][1], number) for number in (7, 8))
    assert files_with(gone, places).keys() == gone.keys()
    async with own_engine.begin() as connection:
        asked = await forgettings.ask(connection, "photo", photos[7][0])
        while not await carry_on(connection, asked.id):
            pass

    done = await scrub(own_url, nats_url=None)

    assert done.tables > 20
    assert files_with(gone, places) == {}
    assert files_with(kept, places).keys() == kept.keys()
    async with own_engine.connect() as connection:
        number = (await table(connection, "SELECT table_number FROM search_spaces"))[0][0]
        counted = f"SELECT (SELECT count(*) FROM search_vectors_{number}), photo_count FROM search_spaces"  # noqa: S608
        assert await table(connection, counted) == [(39, 39)]


async def test_used_files_of_the_log_are_removed_or_written_over(
    own_postgres: PostgresServer, alone: AsyncConnection
) -> None:
    log = [own_postgres.embedded.place.data / "pg_wal"]
    for _ in range(3):
        await alone.execute(text("SELECT pg_logical_emit_message(false, 'x', :mark)"), {"mark": MARK.decode()})
        await alone.execute(text("SELECT pg_switch_wal()"))
    await alone.execute(text("CHECKPOINT"))
    recycles = own_postgres.settings["wal_recycle"] == "on"
    assert bool(files_with({"mark": [MARK]}, log)) is recycles
    await alone.execute(text("SELECT pg_logical_emit_message(false, 'x', :mark)"), {"mark": MARK.decode()})

    await renew_log(alone)

    assert files_with({"mark": [MARK]}, log) == {}


async def test_what_holds_older_files_of_the_log_is_told(alone: AsyncConnection) -> None:
    await alone.execute(text("SELECT pg_create_physical_replication_slot('holds', true)"))
    try:
        with pytest.raises(ConfigurationError, match="still held"):
            await renew_log(alone)
    finally:
        await alone.execute(text("SELECT pg_drop_replication_slot('holds')"))
    assert await renew_log(alone) >= 1


async def test_a_role_that_may_not_renew_the_log_is_told_so(alone: AsyncConnection) -> None:
    await alone.execute(text("CREATE ROLE somebody"))
    try:
        await alone.execute(text("SET ROLE somebody"))
        with pytest.raises(ConfigurationError, match="may not renew the write-ahead log"):
            await renew_log(alone)
    finally:
        await alone.execute(text("RESET ROLE"))
        await alone.execute(text("DROP ROLE somebody"))


async def test_whoever_may_still_see_what_was_removed_is_waited_for(
    own_engine: AsyncEngine, alone: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_PATIENCE_SECONDS", 0.0)
    async with own_engine.connect() as reader:
        await reader.execution_options(isolation_level="REPEATABLE READ")
        await table(reader, "SELECT 1 FROM assets")
        with pytest.raises(ConfigurationError, match=r"began before \(1\)"):
            await tables.rewrite_tables(alone)


async def test_it_is_refused_while_a_session_runs_and_while_something_is_being_forgotten(
    own_url: str, own_engine: AsyncEngine
) -> None:
    async with own_engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/a"])
        await control.start_session(connection, session_id)
    with pytest.raises(ConfigurationError, match=f"Session {session_id} is running"):
        await scrub(own_url, nats_url=None)
    async with own_engine.begin() as connection:
        await control.cancel_session(connection, session_id)
        await forgettings.ask(connection, "session", session_id)
    with pytest.raises(ConfigurationError, match="not done yet"):
        await scrub(own_url, nats_url=None)


def test_a_vector_is_found_wherever_it_is_cut(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 5000 + vector_of(1).tobytes() + b"y" * 5000)
    (tmp_path / "other").write_bytes(b"")
    found = files_with({str(photo): [part_of_vector(vector_of(photo))] for photo in (1, 2)}, [tmp_path])
    assert found == {"1": [str(tmp_path / "file")]}
