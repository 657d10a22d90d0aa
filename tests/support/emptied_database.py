"""One database for the tests of a file, emptied for each: quicker than a new one where there are many."""

import contextlib
from collections.abc import Iterator

import asyncpg

from tests.support.real_servers import PostgresServer, run_apart
from triptych_gateway.catalog.schema import audit, metadata


@contextlib.contextmanager
def database_of_a_file(postgres: PostgresServer) -> Iterator[str]:
    """A database with the present schema; yields its URL."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


def emptied(url: str) -> str:
    """The same database with nothing in it any more."""
    run_apart(_empty(url))
    return url


async def _empty(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        # What is left is little, and quicker to delete than to truncate; but for the audit log, which is not deleted.
        for table in reversed(metadata.sorted_tables):
            await connection.execute("TRUNCATE audit" if table is audit else str(table.delete()))
    finally:
        await connection.close()
