"""Who may take a session over, and when: by the lease, and by its holder's sign of life in PostgreSQL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.real_servers import eventually
from triptych_gateway.catalog.runs import leases
from triptych_gateway.catalog.runs.leases import ABSENT_SECONDS, LEASE_SECONDS, Lease, LeaseLostError
from triptych_gateway.catalog.runs.presence import ABSENT_SQL, keep_presence
from triptych_gateway.catalog.sessions import control, sessions

FIRST, SECOND = "host/1/aaaaaa", "host/2/bbbbbb"


@pytest_asyncio.fixture
async def session_id(engine: AsyncEngine) -> int:
    """A session that is to be run."""
    async with engine.begin() as connection:
        created = await sessions.create_session(
            connection,
            name="photos",
            root_path=b"/photos",
            config={},
            weights={"training": 0.30, "face_detection": 0.65, "clustering": 0.05},
            category_id=None,
            shard_size=64,
        )
        await control.start_session(connection, created)
    return created


@contextlib.asynccontextmanager
async def alive(engine: AsyncEngine, holder: str) -> AsyncIterator[None]:
    """A gateway that shows that it lives."""
    keeping = asyncio.create_task(keep_presence(engine, holder=holder))
    try:
        await eventually(lambda: _is_present(engine, holder), "a sign of life")
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


async def _is_present(engine: AsyncEngine, holder: str) -> bool:
    async with engine.begin() as connection:
        absent = await connection.execute(text(f"SELECT {ABSENT_SQL.format(holder=':holder')}"), {"holder": holder})
        return not absent.scalar_one()


async def claim(engine: AsyncEngine, holder: str, *, running: tuple[int, ...] = ()) -> Lease | None:
    async with engine.begin() as connection:
        return await leases.claim(connection, holder=holder, running=running)


async def age(engine: AsyncEngine, seconds: float) -> None:
    """Let a lease look as if it had been renewed so much earlier."""
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE leases SET expires_at = expires_at - make_interval(secs => :seconds)"), {"seconds": seconds}
        )


async def test_session_is_given_to_one_gateway(engine: AsyncEngine, session_id: int) -> None:
    async with alive(engine, FIRST):
        lease = await claim(engine, FIRST)
        assert lease == Lease(session_id=session_id, holder=FIRST, epoch=1)
        assert await claim(engine, FIRST, running=(session_id,)) is None
        assert await claim(engine, SECOND) is None


async def test_living_holder_keeps_its_lease_until_it_lapses(engine: AsyncEngine, session_id: int) -> None:
    async with alive(engine, FIRST):
        assert await claim(engine, FIRST) is not None
        await age(engine, LEASE_SECONDS / 2)
        assert await claim(engine, SECOND) is None
        await age(engine, LEASE_SECONDS / 2)
        taken = await claim(engine, SECOND)
    assert taken == Lease(session_id=session_id, holder=SECOND, epoch=2)


async def test_dead_holder_loses_its_lease_before_it_lapses(engine: AsyncEngine, session_id: int) -> None:
    async with alive(engine, FIRST):
        dead = await claim(engine, FIRST)
    assert dead is not None
    assert await claim(engine, SECOND) is None, "it has only just renewed its lease"
    await age(engine, ABSENT_SECONDS)
    taken = await claim(engine, SECOND)
    assert taken == Lease(session_id=session_id, holder=SECOND, epoch=2)
    async with engine.begin() as connection:
        with pytest.raises(LeaseLostError):
            await leases.check(connection, dead)


async def test_gateway_takes_back_at_once_what_it_no_longer_runs(engine: AsyncEngine, session_id: int) -> None:
    interrupted = await claim(engine, FIRST)
    assert interrupted is not None
    again = await claim(engine, FIRST)
    assert again == Lease(session_id=session_id, holder=FIRST, epoch=2)
    async with engine.begin() as connection:
        with pytest.raises(LeaseLostError):
            await leases.renew(connection, interrupted)


async def test_sign_of_life_comes_back_after_its_connection_was_cut(engine: AsyncEngine) -> None:
    async with alive(engine, FIRST):
        async with engine.begin() as connection:
            cut = await connection.execute(
                text("""
                    SELECT pg_terminate_backend(pid) FROM pg_locks
                    WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""")
            )
            assert cut.scalars().all() == [True]
        await eventually(lambda: _is_present(engine, FIRST), "a sign of life again")
