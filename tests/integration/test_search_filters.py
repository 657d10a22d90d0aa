"""A filter never costs a search what it should have found, however few photos it leaves and wherever they lie."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.real_servers import PostgresServer, run_apart
from tests.support.searchable import add, found, vectors_of
from triptych_gateway.catalog.database import create_engine
from triptych_gateway.catalog.search import search
from triptych_gateway.catalog.search.search import Filter
from triptych_gateway.pipeline.search_upkeep import SearchUpkeep

PHOTOS = 2_000
SHARES = {"nearly all": 0.9, "half": 0.5, "some": 0.05, "few": 0.002}
"""Share of the photos of a session, and of a person, of each name."""
FAR = "the farthest half"
"""A session of the photos that are least like the first one."""
LIMIT = 10


@dataclass(frozen=True, kw_only=True)
class Library:
    url: str
    vectors: NDArray[np.float32]
    ids: NDArray[np.int64]
    sessions: dict[str, tuple[int, NDArray[np.bool_]]]
    persons: dict[str, tuple[int, NDArray[np.bool_]]]

    def nearest(self, place: int, allowed: NDArray[np.bool_]) -> list[int]:
        """What is to be found beside a photo itself, exactly."""
        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        scores = np.where(allowed, unit @ unit[place], -2)
        scores[place] = -2
        order = np.argsort(-scores)[:LIMIT]
        return [int(self.ids[one]) for one in order if scores[one] > -2]


async def _insert(connection: AsyncConnection, statement: str, **values: object) -> int:
    inserted: int = (await connection.execute(text(f"INSERT INTO {statement} RETURNING id"), values)).scalar_one()
    return inserted


async def _session(connection: AsyncConnection, ids: NDArray[np.int64]) -> int:
    session_id = await _insert(connection, "sessions (name, root_path, weights) VALUES ('n', '/', '{}')")
    await connection.execute(
        text("INSERT INTO session_assets (session_id, asset_id) SELECT :id, unnest(CAST(:ids AS bigint[]))"),
        {"id": session_id, "ids": ids.tolist()},
    )
    return session_id


async def _person(connection: AsyncConnection, ids: NDArray[np.int64], *, clustering_id: int, position: int) -> int:
    person_id = await _insert(connection, "persons (name) VALUES ('n')")
    await connection.execute(
        text("""
            WITH made AS (
                INSERT INTO faces (asset_id, model_id, generation, position, x, y, width, height, landmarks, score,
                    embedding)
                SELECT unnest(CAST(:ids AS bigint[])), 'faces/1', 1, :position, 0, 0, 1, 1, '[]', 1, '[1]'
                RETURNING id, asset_id)
            INSERT INTO face_places (face_id, clustering_id, asset_id, person_id)
            SELECT id, :clustering_id, asset_id, :person_id FROM made"""),
        {"ids": ids.tolist(), "position": position, "clustering_id": clustering_id, "person_id": person_id},
    )
    return person_id


async def _fill(url: str) -> Library:
    engine = create_engine(url)
    vectors = vectors_of(PHOTOS)
    random = np.random.default_rng(3)
    async with engine.connect() as connection:
        ids = np.array(await add(connection, vectors), np.int64)
        async with connection.begin():
            clustering_id = await _insert(
                connection,
                "clusterings (model_id, parameters, face_count, active) VALUES ('faces/1', '{}', 1, true)",
            )
            sessions, persons = {}, {}
            for position, (name, share) in enumerate(SHARES.items()):
                chosen = random.random(PHOTOS) < share
                sessions[name] = (await _session(connection, ids[chosen]), chosen)
                chosen = random.random(PHOTOS) < share
                person_id = await _person(connection, ids[chosen], clustering_id=clustering_id, position=position)
                persons[name] = (person_id, chosen)
            far = vectors @ vectors[0] / np.linalg.norm(vectors, axis=1)
            chosen = far < np.median(far)
            sessions[FAR] = (await _session(connection, ids[chosen]), chosen)
        await SearchUpkeep(engine, exact_below=100, build_memory_bytes=2**26).look(connection)
        async with connection.begin():
            await connection.execute(text("ANALYZE"))
    await engine.dispose()
    return Library(url=url, vectors=vectors, ids=ids, sessions=sessions, persons=persons)


@pytest.fixture(scope="module")
def library(postgres: PostgresServer) -> Iterator[Library]:
    name = postgres.create_database()
    yield run_apart(_fill(postgres.url(name)))
    postgres.drop_database(name)


@pytest_asyncio.fixture
async def connection(library: Library) -> AsyncIterator[AsyncConnection]:
    engine: AsyncEngine = create_engine(library.url)
    async with engine.connect() as opened:
        yield opened
    await engine.dispose()


async def _recall(connection: AsyncConnection, library: Library, allowed: NDArray[np.bool_], *, only: Filter) -> float:
    """Share of the exact answers that are found, over some photos; never fewer than there are."""
    met = wanted = 0
    for place in range(10):
        exact = library.nearest(place, allowed)
        answer = await found(
            connection,
            library.vectors[place],
            limit=LIMIT,
            only=Filter(person_id=only.person_id, session_id=only.session_id, except_for=int(library.ids[place])),
        )
        assert len(answer) == len(exact)
        met += len(set(answer) & set(exact))
        wanted += len(exact)
    return met / wanted if wanted else 1.0


@pytest.mark.parametrize("of_session", [None, *SHARES])
@pytest.mark.parametrize("of_person", [None, *SHARES])
async def test_filters_of_any_size_alone_and_together_find_what_exact_search_finds(
    connection: AsyncConnection, library: Library, of_session: str | None, of_person: str | None
) -> None:
    session_id, in_session = library.sessions[of_session] if of_session else (None, np.ones(PHOTOS, bool))
    person_id, with_person = library.persons[of_person] if of_person else (None, np.ones(PHOTOS, bool))

    only = Filter(session_id=session_id, person_id=person_id)

    assert await _recall(connection, library, in_session & with_person, only=only) >= 0.95


async def test_photos_that_lie_far_from_what_is_asked_for_are_found_all_the_same(
    connection: AsyncConnection, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id, allowed = library.sessions[FAR]
    # A walk gives up long before it meets the first of them.
    monkeypatch.setattr(search, "_MOST_WALKED", 200)

    answer = await found(connection, library.vectors[0], limit=LIMIT, only=Filter(session_id=session_id))

    assert answer == library.nearest(0, allowed)


async def test_a_filter_that_leaves_nothing_finds_nothing(connection: AsyncConnection, library: Library) -> None:
    async with connection.begin():
        nobody = await _insert(connection, "persons (name) VALUES ('nobody')")

    assert await found(connection, library.vectors[0], only=Filter(person_id=nobody)) == []
