"""No statement that is asked for often reads a whole table, in a library that is large enough for PostgreSQL to choose.

What reads everything on purpose is not here: the beginning of a run (`planning`: all photos of the session,
once), clustering (`face_space`, `regrouping`, `groups.count_session_groups` at its end: all faces, under one lock), the
end of a restart (`generations`), building what is searched (`search_tables`), and searching where there is no graph
(few photos, or vectors that are too long for one). A part of a person's name is looked for in all persons, of whom
there are some ten thousand.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import asyncpg
import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.catalogue import detected, embedded, found
from tests.support.large_library import FACES_MODEL, MODEL, fill
from tests.support.query_plans import reads_of, recorded
from tests.support.real_servers import PostgresServer, run_apart
from triptych_gateway.catalog.clustering import changed_persons
from triptych_gateway.catalog.database import create_engine
from triptych_gateway.catalog.library import directories, missing, moves, photos
from triptych_gateway.catalog.people import faces, groups, persons
from triptych_gateway.catalog.runs import leases, lifecycle, results, shards
from triptych_gateway.catalog.search import search, search_spaces, search_tables
from triptych_gateway.catalog.sessions import changes, jobs, sessions
from triptych_gateway.pipeline.search_upkeep import SearchUpkeep

PHOTOS: Final = 20_000
PERSONS: Final = 8_000
LARGE: Final = frozenset(
    {
        "assets",
        "session_assets",
        "session_problems",
        "run_items",
        "embeddings",
        "face_scans",
        "faces",
        "face_places",
        "groups",
        "session_groups",
        "session_persons",
        "search_queue",
        "search_vectors_1",
    }
)
"""Tables that grow with the number of photos."""
PAGE: Final = 100


@dataclass(frozen=True, kw_only=True)
class Library:
    """A large library, and which of it is asked for."""

    url: str
    session_id: int
    """The largest one."""
    small_session_id: int
    person_id: int
    group_id: int
    face_id: int
    asset_id: int
    job_id: int


@pytest.fixture(scope="module")
def library(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Filled once; every test rolls back what it writes."""
    name = postgres.create_database()
    url = postgres.url(name)
    filled = run_apart(fill(url, photos=PHOTOS, persons=PERSONS, root=tmp_path_factory.mktemp("library") / "photos"))
    run_apart(_make_searchable(url))

    async def largest() -> dict[str, int]:
        connection = await asyncpg.connect(url)
        try:
            row = await connection.fetchrow(
                """SELECT (SELECT id FROM persons ORDER BY face_count DESC LIMIT 1) AS person_id,
                (SELECT id FROM groups ORDER BY face_count DESC LIMIT 1) AS group_id,
                (SELECT max(id) FROM faces) AS face_id, (SELECT max(asset_id) FROM faces) AS asset_id,
                (SELECT max(id) FROM session_assets) AS job_id"""
            )
            return dict(row)
        finally:
            await connection.close()

    yield Library(
        url=url,
        session_id=filled.session_ids[0],
        small_session_id=filled.session_ids[-1],
        **run_apart(largest()),
    )
    postgres.drop_database(name)


async def _make_searchable(url: str) -> None:
    """A graph over all but some photos, which wait for it."""
    engine = create_engine(url)
    async with engine.connect() as connection:
        async with connection.begin():
            await connection.execute(text("INSERT INTO search_spaces (model_id) VALUES (:model)"), {"model": MODEL})
        await SearchUpkeep(engine, exact_below=1000, build_memory_bytes=2**26).look(connection)
        async with connection.begin():
            await connection.execute(text("UPDATE embeddings SET embedding = embedding WHERE asset_id % 50 = 0"))
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))
    await engine.dispose()


Call: TypeAlias = Callable[[AsyncConnection, Library], Awaitable[Any]]
Listing: TypeAlias = Callable[[AsyncConnection, Library, int], Awaitable[tuple[Any, int]]]

LISTS: Final[dict[str, Listing]] = {
    "sessions": lambda c, _, offset: sessions.list_sessions(c, offset=offset, limit=PAGE, status=None),
    "sessions of a status": lambda c, _, offset: sessions.list_sessions(
        c, offset=offset, limit=PAGE, status="completed"
    ),
    "jobs": lambda c, of, offset: jobs.list_jobs(c, of.session_id, offset=offset, limit=PAGE, status=None),
    "jobs of a status": lambda c, of, offset: jobs.list_jobs(
        c, of.session_id, offset=offset, limit=PAGE, status="completed"
    ),
    "problems": lambda c, of, offset: photos.list_problems(c, of.session_id, offset=offset, limit=PAGE),
    "changed persons": lambda c, of, offset: changed_persons.list_changed_persons(
        c, of.session_id, offset=offset, limit=PAGE
    ),
    "persons": lambda c, _, offset: persons.list_persons(c, offset=offset, limit=PAGE),
    "persons of a status": lambda c, _, offset: persons.list_persons(c, offset=offset, limit=PAGE, status="active"),
    "persons of a large session": lambda c, of, offset: persons.list_persons(
        c, offset=offset, limit=PAGE, status="active", session_id=of.session_id
    ),
    "persons of a small session": lambda c, of, offset: persons.list_persons(
        c, offset=offset, limit=PAGE, session_id=of.small_session_id
    ),
    "persons by name": lambda c, _, offset: persons.list_persons(c, offset=offset, limit=PAGE, name_part="person 1"),
    "persons of a session by name": lambda c, of, offset: persons.list_persons(
        c, offset=offset, limit=PAGE, session_id=of.session_id, name_part="person 1"
    ),
    "faces of a person": lambda c, of, offset: faces.list_person_faces(c, of.person_id, offset=offset, limit=PAGE),
    "unassigned faces": lambda c, _, offset: faces.list_unassigned(c, offset=offset, limit=PAGE),
    "groups": lambda c, _, offset: groups.list_groups(c, session_id=None, offset=offset, limit=PAGE),
    "groups of a large session": lambda c, of, offset: groups.list_groups(
        c, session_id=of.session_id, offset=offset, limit=PAGE
    ),
    "groups of a small session": lambda c, of, offset: groups.list_groups(
        c, session_id=of.small_session_id, offset=offset, limit=PAGE
    ),
}


async def _group_with_its_last_faces(connection: AsyncConnection, library: Library) -> None:
    group = await groups.get_group(connection, library.group_id)
    await faces.list_group_faces(connection, group.id, offset=0, limit=PAGE, total=group.face_count)
    last = max(0, group.face_count - PAGE)
    await faces.list_group_faces(connection, group.id, offset=last, limit=PAGE, total=group.face_count)


async def _search(connection: AsyncConnection, **only: int) -> None:
    vector = np.linspace(0.1, 1.0, 8).astype(np.float32)
    assert await search.nearest(connection, vector, model_id=MODEL, limit=10, only=search.Filter(**only))


READS: Final[dict[str, Call]] = {
    "a session": lambda c, of: sessions.get_session(c, of.session_id),
    "a session's chosen directories": lambda c, of: sessions.selected_directories(c, of.session_id),
    "a session's directories": lambda c, of: directories.list_subdirectories(c, of.session_id),
    "what of directories is trained": lambda c, of: directories.trained(c, [b"/photos", b"/photos/a"]),
    "a session's runs": lambda c, of: lifecycle.latest_runs(c, of.session_id),
    "a job": lambda c, of: jobs.get_job(c, of.job_id),
    "how many jobs": lambda c, of: jobs.count_jobs(c, of.session_id),
    "a photo": lambda c, of: photos.get_asset(c, of.asset_id),
    "a photo's faces": lambda c, of: faces.list_asset_faces(c, [of.asset_id]),
    "a face": lambda c, of: faces.get_face(c, of.face_id),
    "a person": lambda c, of: persons.get_person(c, of.person_id),
    "a group": _group_with_its_last_faces,
    "sessions that changed": lambda c, _: changes.changed_since(c, datetime.now(UTC)),
    "sessions that ended": lambda c, _: changes.ended_since(c, datetime.now(UTC), most=PAGE),
    "sessions under way": lambda c, _: changes.ids_under_way(c),
    "sessions with their runs": lambda c, of: changes.load(c, [of.session_id, of.small_session_id]),
    "the nearest photos": lambda c, _: _search(c),
    "the nearest photos of the largest person": lambda c, of: _search(c, person_id=of.person_id),
    "the nearest photos of the largest session": lambda c, of: _search(c, session_id=of.session_id),
    "the nearest photos of a small session": lambda c, of: _search(c, session_id=of.small_session_id),
    "the nearest photos of a person in a session": lambda c, of: _search(
        c, person_id=of.person_id, session_id=of.session_id
    ),
    "a photo's vector": lambda c, of: search.embedding_of(c, of.asset_id, model_id=MODEL),
    "search spaces": lambda c, _: search_spaces.list_spaces(c),
    "models that have something waiting": lambda c, _: search_spaces.add_new_spaces(c),
    "sessions that still run": lambda c, of: sessions.still_running(c, [of.session_id]),
}


async def _shards(connection: AsyncConnection, library: Library) -> None:
    run = (await lifecycle.latest_runs(connection, library.session_id))["training"]
    left = await shards.unfinished_shards(connection, run)
    await shards.load_shard(connection, run, left[0])
    await shards.load_shard(connection, run, left[-1])


async def _micro_batch(connection: AsyncConnection, library: Library, phase: str) -> None:
    run = (await lifecycle.latest_runs(connection, library.session_id))[phase]
    left = await shards.unfinished_shards(connection, run)
    items = (await shards.load_shard(connection, run, left[-1])).items
    if phase == "training":
        await results.write_outcomes(connection, run, [embedded(item) for item in items], model_id=MODEL)
    else:
        outcomes = [detected(item, 1.0, 2.0) for item in items]
        await results.write_outcomes(connection, run, outcomes, model_id=FACES_MODEL)


async def _discovered(connection: AsyncConnection, library: Library) -> None:
    known = (await connection.execute(text("SELECT path FROM assets ORDER BY id LIMIT 10"))).scalars().all()
    again = [found(path, size=1) for path in known]
    new = [found(b"/new/%d" % number) for number in range(10)]
    await photos.add_photos(connection, library.small_session_id, [*again, *new])


async def _left(connection: AsyncConnection, library: Library) -> None:
    path = (await connection.execute(text("SELECT path FROM assets ORDER BY id DESC LIMIT 1"))).scalar_one()
    directory = path[: path.rindex(b"/")]
    for recursive in (True, False):
        gone = await missing.known_but_not_found(
            connection, library.session_id, directory, recursive=recursive, after=b"", limit=PAGE
        )
        assert gone
    await missing.mark_missing(connection, [path])


async def _moved(connection: AsyncConnection, library: Library) -> None:
    path = (await connection.execute(text("SELECT path FROM assets ORDER BY id LIMIT 1"))).scalar_one()
    known = (await moves.known_photos(connection, [path]))[path]
    _ = [batch async for batch in moves.photos_of_size(connection, [known.size_bytes])]
    await moves.move_photos(connection, [moves.Move(known=known, found=found(b"/elsewhere/a"))])


async def _waiting(connection: AsyncConnection, library: Library) -> None:
    space = await search_spaces.find_space(connection, MODEL)
    assert space is not None
    assert space.has_graph
    assert await search_tables.put_waiting(connection, space, most=PAGE) == PAGE


WRITES: Final[dict[str, Call]] = {
    "taking a session over": lambda c, _: leases.claim(c, holder="somebody"),
    "shards": _shards,
    "a micro-batch of training": lambda c, of: _micro_batch(c, of, "training"),
    "a micro-batch of face detection": lambda c, of: _micro_batch(c, of, "face_detection"),
    "photos that discovery came upon": _discovered,
    "photos whose files are gone": _left,
    "photos whose files moved": _moved,
    "what waits to be searched": _waiting,
}


@pytest.mark.parametrize("name", LISTS)
async def test_the_first_and_the_last_page_of_a_list_read_no_whole_table(library: Library, name: str) -> None:
    async with recorded(library.url) as statements:
        _, total = await LISTS[name](statements.connection, library, 0)
        items, _ = await LISTS[name](statements.connection, library, max(0, (total - 1) // PAGE * PAGE))
        assert items
        assert await statements.whole_reads(LARGE) == []


@pytest.mark.parametrize("name", READS)
async def test_what_is_asked_for_by_its_id_or_time_reads_no_whole_table(library: Library, name: str) -> None:
    async with recorded(library.url) as statements:
        await READS[name](statements.connection, library)
        assert statements.executed
        assert await statements.whole_reads(LARGE) == []


@pytest.mark.parametrize("name", WRITES)
async def test_what_the_pipeline_does_for_each_message_reads_no_whole_table_and_neither_do_triggers(
    library: Library, name: str
) -> None:
    async with recorded(library.url) as statements:
        await WRITES[name](statements.connection, library)
        read = await statements.connection.execute(
            text("SELECT relname, seq_tup_read FROM pg_stat_xact_user_tables WHERE seq_tup_read > 1000")
        )
        assert [tuple(row) for row in read if row.relname in LARGE] == []
        assert await statements.whole_reads(LARGE) == []


async def test_a_plan_that_reads_a_whole_table_is_found(library: Library) -> None:
    for whole in (
        "SELECT count(*) FROM session_assets",
        "SELECT id FROM faces ORDER BY score LIMIT 1",
        "SELECT a.id FROM assets a JOIN faces f ON f.asset_id = a.id ORDER BY a.id",
        "SELECT count(*) FROM (SELECT id FROM assets ORDER BY id) numbered",
        "UPDATE assets SET width = 1 WHERE height = 7",
    ):
        async with recorded(library.url) as statements:
            statements.executed.append((whole, ()))
            assert await statements.whole_reads(LARGE), whole


def test_a_limit_ends_a_walk_over_an_index_but_not_a_sort_below_it() -> None:
    walk = {"Node Type": "Index Only Scan", "Relation Name": "assets"}
    assert list(reads_of(walk, LARGE))
    assert list(reads_of({"Node Type": "Limit", "Plans": [walk]}, LARGE)) == []
    sort = {"Node Type": "Sort", "Plans": [walk]}
    assert list(reads_of({"Node Type": "Limit", "Plans": [sort]}, LARGE))
