"""What a clustering made of persons with a name is kept with its run, and shown with the names of today."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import new_session, table
from triptych_gateway.catalog.clustering.changed_persons import (
    ChangedPerson,
    list_changed_persons,
    record_changed_persons,
)
from triptych_gateway.catalog.clustering.regrouping import NamedPersonChange
from triptych_gateway.catalog.runs import lifecycle


async def clustering_run(connection: AsyncConnection, session_id: int) -> int:
    """The number of the session's latest run of clustering."""
    return (await lifecycle.latest_runs(connection, session_id))["clustering"].id


def split(number: int, *, into_id: int | None = None) -> NamedPersonChange:
    return NamedPersonChange(kind="split", person_id=number, name=f"Person {number}", into_id=into_id, faces=2)


async def test_changes_are_listed_by_pages_in_their_order(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        run_id = await clustering_run(connection, session_id)
        await record_changed_persons(connection, run_id, [split(number) for number in range(1, 8)])
        for offset in range(8):
            found, total = await list_changed_persons(connection, session_id, offset=offset, limit=3)
            assert total == 7
            assert [one.person_id for one in found] == list(range(1, 8))[offset : offset + 3]


async def test_the_other_person_has_the_name_of_today_and_none_where_it_is_gone(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        [(ada,)] = await table(connection, "INSERT INTO persons (name) VALUES ('Ada') RETURNING id")
        change = split(1, into_id=ada)
        await record_changed_persons(connection, await clustering_run(connection, session_id), [change])

        async def listed() -> list[ChangedPerson]:
            return (await list_changed_persons(connection, session_id, offset=0, limit=9))[0]

        assert await listed() == [ChangedPerson(**vars(change), into_name="Ada")]
        await connection.execute(text("UPDATE persons SET name = 'Ada L.'"))
        assert await listed() == [ChangedPerson(**vars(change), into_name="Ada L.")]
        await connection.execute(text("DELETE FROM persons"))
        assert await listed() == [ChangedPerson(**vars(change), into_name=None)]


async def test_only_what_the_latest_clustering_changed_is_listed(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id, other = await new_session(connection), await new_session(connection)
        await record_changed_persons(connection, await clustering_run(connection, session_id), [split(1)])
        await record_changed_persons(connection, await clustering_run(connection, other), [split(2)])
        await connection.execute(
            text("""INSERT INTO runs (session_id, phase, number, shard_size)
                    VALUES (:session_id, 'clustering', 2, 64)"""),
            {"session_id": session_id},
        )
        assert await list_changed_persons(connection, session_id, offset=0, limit=9) == ([], 0)
        await record_changed_persons(connection, await clustering_run(connection, session_id), [split(3)])

        found, _ = await list_changed_persons(connection, session_id, offset=0, limit=9)

        assert [one.person_id for one in found] == [3]


async def test_they_go_with_their_session(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await record_changed_persons(connection, await clustering_run(connection, session_id), [split(1)])
        await connection.execute(text("DELETE FROM sessions"))
        assert await table(connection, "SELECT count(*) FROM changed_persons") == [(0,)]
