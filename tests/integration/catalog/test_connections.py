"""The pool of connections: what was lost while nobody used it troubles nobody."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import table
from triptych_gateway.catalog import database
from triptych_gateway.catalog.database import is_away


async def _lose_a_free_connection(engine: AsyncEngine) -> None:
    """End one of two connections that the pool holds."""
    async with engine.connect() as one, engine.connect() as other:
        number = (await table(one, "SELECT pg_backend_pid()"))[0][0]
        await one.close()
        ended = await other.execute(text("SELECT pg_terminate_backend(:number, 30000)"), {"number": number})
        assert ended.scalar_one()


async def _ask(engine: AsyncEngine) -> None:
    """Use two connections at once, so that each one that the pool holds is used."""
    async with engine.connect() as one, engine.connect() as other:
        assert (await one.execute(text("SELECT 1"))).scalar_one() == 1
        assert (await other.execute(text("SELECT 1"))).scalar_one() == 1


async def test_a_connection_lost_while_idle_is_replaced_unseen(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TRUSTED_SECONDS", 0.0)
    await _lose_a_free_connection(engine)

    await _ask(engine)


async def test_a_connection_lost_just_now_fails_one_statement_at_most_as_a_lost_database(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TRUSTED_SECONDS", 3600.0)
    await _lose_a_free_connection(engine)

    failures = []
    for _ in range(2):
        try:
            await _ask(engine)
        except DBAPIError as error:
            failures.append(error)
    # None where the driver has seen meanwhile that it is closed.
    assert [is_away(error) for error in failures] in ([], [True])
