"""Counters that triggers keep, where several sessions write at once."""

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import found, new_session, table
from triptych_gateway.catalog.library import photos


async def test_two_discoveries_in_one_directory_do_not_lock_each_other_out(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        sessions = [await new_session(connection, paths=[b"/photos/known"]) for _ in range(2)]

    async with engine.connect() as one, engine.connect() as other:
        for connection in (one, other):
            # As the foreign key of each new photo does.
            await connection.execute(text("SELECT 1 FROM directories FOR KEY SHARE"))
        waiting = asyncio.create_task(photos.add_photos(other, sessions[1], [found(b"/photos/b")]))
        await photos.add_photos(one, sessions[0], [found(b"/photos/a")])
        await one.commit()
        await waiting
        await other.commit()

    async with engine.connect() as connection:
        assert await table(connection, "SELECT photo_count FROM directories") == [(3,)]
