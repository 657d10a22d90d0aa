"""The catalogue on a real PostgreSQL: leases."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import (
    new_session,
    table,
)
from triptych_gateway.catalog.runs import leases
from triptych_gateway.catalog.runs.leases import Lease, LeaseLostError
from triptych_gateway.catalog.sessions import control


async def test_a_lease_is_held_by_one_and_taken_over_once_it_has_lapsed(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        assert await leases.claim(connection, holder="a") is None, "a session that is not running is nobody's work"
        await control.start_session(connection, session_id)
        first = await leases.claim(connection, holder="a")
    assert first == Lease(session_id=session_id, holder="a", epoch=1)

    async with engine.begin() as connection:
        assert await leases.claim(connection, holder="a", running={session_id}) is None
        assert await leases.claim(connection, holder="b") is None, "it was renewed just now"
        await leases.renew(connection, first)
        await connection.execute(text("UPDATE leases SET expires_at = now() - interval '1 second'"))

    async with engine.begin() as connection:
        with pytest.raises(LeaseLostError):
            await leases.renew(connection, first)
        with pytest.raises(LeaseLostError):
            await leases.check(connection, first)
        second = await leases.claim(connection, holder="b")

    assert second == Lease(session_id=session_id, holder="b", epoch=2)
    async with engine.begin() as connection:
        await leases.check(connection, second)
        with pytest.raises(LeaseLostError):
            await leases.check(connection, replace(first, holder="b"))
        await leases.release(connection, first)
        await leases.check(connection, second)
        await leases.release(connection, second)
    async with engine.begin() as connection:
        third = await leases.claim(connection, holder="a")
    assert third is not None
    assert third.epoch == 3


async def test_of_many_claims_at_once_each_session_goes_to_one(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        started = [await new_session(connection) for _ in range(3)]
        for session_id in started:
            await control.start_session(connection, session_id)

    async def claim(holder: str) -> Lease | None:
        async with engine.begin() as connection:
            return await leases.claim(connection, holder=holder)

    taken: list[Lease] = []
    while len(taken) < len(started):
        taken += [one for one in await asyncio.gather(*(claim(f"h{n}") for n in range(6))) if one is not None]

    assert sorted(lease.session_id for lease in taken) == started
    assert {lease.epoch for lease in taken} == {1}


async def test_while_a_checked_write_is_not_committed_its_lease_is_renewed_and_nobody_takes_it_over(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await control.start_session(connection, session_id)
        lease = await leases.claim(connection, holder="a")
    assert lease is not None

    async def take_over() -> Lease | None:
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE leases SET expires_at = now()"))
            return await leases.claim(connection, holder="b")

    async with engine.begin() as writing:
        await leases.check(writing, lease)
        async with engine.begin() as connection:
            await leases.renew(connection, lease)
        assert await take_over() is None
        await writing.execute(text("UPDATE sessions SET name = 'written'"))

    later = await take_over()
    assert later is not None
    assert later.epoch == 2


async def test_a_button_waits_for_a_checked_write(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        session_id = await new_session(connection)
        await control.start_session(connection, session_id)
        lease = await leases.claim(connection, holder="a")
    assert lease is not None

    async def pause() -> None:
        async with engine.begin() as connection:
            await control.pause_session(connection, session_id)

    async with engine.begin() as writing, engine.connect() as watching:
        await leases.check(writing, lease)
        pausing = asyncio.create_task(pause())
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(60):
            while (await table(watching, waits)) == [(0,)]:  # noqa: ASYNC110 - only PostgreSQL knows who waits
                await asyncio.sleep(0.01)
        await writing.execute(text("UPDATE sessions SET name = 'written'"))

    await pausing
    async with engine.begin() as connection:
        with pytest.raises(LeaseLostError):
            await leases.check(connection, lease)
