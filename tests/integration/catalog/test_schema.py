"""The catalogue on a real PostgreSQL: the schema, and a lost database."""

import asyncio
import sys
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import (
    table,
)
from triptych_common.errors import ConfigurationError
from triptych_gateway.catalog.database import create_engine, is_away, migrate
from triptych_gateway.catalog.schema import metadata


async def test_an_empty_database_is_brought_to_the_schema_that_the_code_describes(empty_database_url: str) -> None:
    await migrate(empty_database_url)
    await migrate(empty_database_url)

    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    engine = create_engine(empty_database_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_two_processes_may_migrate_at_once(empty_database_url: str) -> None:
    program = (
        "import asyncio, sys; from triptych_gateway.catalog.database import migrate; asyncio.run(migrate(sys.argv[1]))"
    )

    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, empty_database_url) for _ in range(2)
    ]

    assert [await process.wait() for process in processes] == [0, 0]


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite:///file", "nonsense", ""])
def test_a_url_of_another_kind_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        create_engine(url)


async def test_a_refused_statement_is_not_taken_for_a_lost_database(engine: AsyncEngine) -> None:
    for statement, parameters in (
        ("SELECT nonsense", {}),
        ("INSERT INTO categories (name) VALUES (:name), (:name)", {"name": "twice"}),
        ("SELECT CAST(:text AS text)", {"text": "\0"}),
        ("SELECT CAST(:number AS bigint)", {"number": 2**70}),
        ("SELECT 1 / 0", {}),
    ):
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError) as raised:
                await connection.execute(text(statement), parameters)
            assert not is_away(raised.value), statement


async def test_a_lost_connection_is_a_lost_database(engine: AsyncEngine) -> None:
    async with engine.connect() as lost, engine.connect() as other:
        number = (await table(lost, "SELECT pg_backend_pid()"))[0][0]
        await other.execute(text("SELECT pg_terminate_backend(:number)"), {"number": number})
        with pytest.raises(DBAPIError) as raised:
            await lost.execute(text("SELECT 1"))

    assert is_away(raised.value)
    assert is_away(ConnectionRefusedError())
    assert not is_away(KeyError("x"))
