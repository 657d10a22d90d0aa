"""The command that brings the schema to this version before gateways of that version start."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.catalogue import table
from triptych_common.errors import EXIT_BAD_CONFIGURATION, ConfigurationError
from triptych_gateway.catalog.database import create_engine, migrate

SCRIPT = str(Path(sys.executable).with_name("triptych-migrate"))


async def _migrate(database_url: str) -> tuple[int | None, str]:
    """Exit status and log."""
    process = await asyncio.create_subprocess_exec(
        SCRIPT, env={**os.environ, "DATABASE_URL": database_url}, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


# Three processes start at once, on a machine that may have much else to do.
@pytest.mark.timeout(600)
async def test_several_at_once_make_one_schema(empty_database_url: str) -> None:
    ends = await asyncio.gather(*(_migrate(empty_database_url) for _ in range(3)))
    assert [status for status, _ in ends] == [0, 0, 0], ends

    engine = create_engine(empty_database_url)
    async with engine.connect() as connection:
        assert await table(connection, "SELECT count(*) FROM alembic_version") == [(1,)]
        assert await table(connection, "SELECT count(*) FROM assets") == [(0,)]
    await engine.dispose()


async def test_a_refused_login_is_a_matter_of_configuration(empty_database_url: str) -> None:
    with_wrong_password = re.sub(r":[^:@/]+@", ":wrong@", empty_database_url)

    assert with_wrong_password != empty_database_url
    status, said = await _migrate(with_wrong_password)
    assert status == EXIT_BAD_CONFIGURATION
    assert "refused the login" in said


async def test_a_schema_of_a_later_version_is_left_as_it_is(database_url: str) -> None:
    """After a rollback: the older gateway says what to do, and touches nothing."""
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()

    with pytest.raises(ConfigurationError, match="schema 9999, which this version does not know") as refused:
        await migrate(database_url)

    assert "restore a backup from before" in str(refused.value)
