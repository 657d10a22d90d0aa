"""What was kept for long enough goes, by a clock that the test sets; the rest stays."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import begin, new_session, table
from tests.support.people import library
from triptych_gateway.api.picture_cache import PictureCache
from triptych_gateway.api.picture_forgetting import PictureForgetting
from triptych_gateway.catalog.privacy.retention import KeptFor
from triptych_gateway.catalog.sessions import control
from triptych_gateway.pipeline.forgetting import Forgetter

NOW = datetime(2031, 5, 4, tzinfo=UTC)
FOR_EVER = KeptFor(run_details_days=0, missing_photos_days=0, forgettings_days=0)
TEN_DAYS = KeptFor(run_details_days=10, missing_photos_days=10, forgettings_days=10)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


async def let_go(connection: AsyncConnection, engine: AsyncEngine, kept_for: KeptFor) -> None:
    """What a gateway does every hour, at NOW."""
    await connection.commit()
    forgetter = Forgetter(engine, kept_for=kept_for, now=lambda: NOW)
    await forgetter.let_go(connection)
    await forgetter.look(connection)


async def a_run(connection: AsyncConnection, name: bytes, *, status: str, completed_at: datetime) -> int:
    """A session with a photo in a run and a file that could not be read."""
    session_id = await new_session(connection, paths=[b"/photos/" + name])
    await begin(connection, session_id)
    await connection.execute(
        text("UPDATE sessions SET status = :status, completed_at = :at WHERE id = :id"),
        {"status": status, "at": completed_at, "id": session_id},
    )
    await connection.execute(
        text("INSERT INTO session_problems (session_id, path, code, message) VALUES (:id, '/photos/x', 'x', 'x')"),
        {"id": session_id},
    )
    return session_id


@pytest.mark.parametrize(("kept_for", "goes"), [(TEN_DAYS, True), (FOR_EVER, False)])
async def test_details_of_runs_go_once_their_session_was_completed_for_long(
    engine: AsyncEngine, kept_for: KeptFor, *, goes: bool
) -> None:
    async with engine.connect() as connection:
        old = await a_run(connection, b"old", status="completed", completed_at=ago(10.1))
        young = await a_run(connection, b"young", status="completed", completed_at=ago(9.9))
        may_go_on = await a_run(connection, b"cancelled", status="cancelled", completed_at=ago(99))

        await let_go(connection, engine, kept_for)

        left = {young, may_go_on} | (set() if goes else {old})
        runs = "SELECT DISTINCT r.session_id FROM run_items i JOIN runs r ON r.id = i.run_id"
        assert {row[0] for row in await table(connection, runs)} == left
        assert {row[0] for row in await table(connection, "SELECT session_id FROM session_problems")} == left
        assert len(await table(connection, "SELECT 1 FROM session_assets")) == 3, "its photos are still told"


@pytest.mark.parametrize(("kept_for", "goes"), [(TEN_DAYS, True), (FOR_EVER, False)])
async def test_photos_that_were_missing_for_long_are_forgotten(
    engine: AsyncEngine, kept_for: KeptFor, *, goes: bool
) -> None:
    async with engine.connect() as connection:
        await library(connection, [1, 1, 1])
        at_work = await new_session(connection, paths=[b"/elsewhere/a"])
        await control.start_session(connection, at_work)
        for path, missing_at in (
            (b"/photos/000", ago(10.1)),
            (b"/photos/001", ago(9.9)),
            (b"/elsewhere/a", ago(99)),
        ):
            await connection.execute(
                text("UPDATE assets SET missing_at = :at WHERE path = :path"), {"at": missing_at, "path": path}
            )

        await let_go(connection, engine, kept_for)

        stay = [b"/elsewhere/a", b"/photos/001", b"/photos/002"] if goes else None
        paths = [row[0] for row in await table(connection, "SELECT path FROM assets ORDER BY path")]
        assert paths == (stay or [b"/elsewhere/a", b"/photos/000", b"/photos/001", b"/photos/002"])
        assert len(await table(connection, "SELECT 1 FROM faces")) == (2 if goes else 3)


async def test_that_something_was_forgotten_is_forgotten_but_for_the_latest(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        for subject, days in ((1, 30), (2, 20), (3, 10.5)):
            await connection.execute(
                text("INSERT INTO forgettings (kind, subject_id, done_at) VALUES ('person', :id, :at)"),
                {"id": subject, "at": ago(days)},
            )
        await let_go(connection, engine, TEN_DAYS)
        assert await table(connection, "SELECT subject_id FROM forgettings") == [(3,)]


@pytest.mark.parametrize(("keep_days", "left"), [(10, {"b"}), (0, {"a", "b"})])
async def test_pictures_that_nobody_asked_for_in_a_long_time_go(
    engine: AsyncEngine, tmp_path: Path, keep_days: int, left: set[str]
) -> None:
    cache = PictureCache(tmp_path, most_bytes=10**6)
    for key in ("a" * 32, "b" * 32):
        cache.put(key, b"picture", times_emptied=0)
    last_asked = (tmp_path / "bb" / f"{'b' * 32}.jpg").stat().st_mtime
    os.utime(tmp_path / "aa" / f"{'a' * 32}.jpg", (0, last_asked - 86400))

    await PictureForgetting(
        engine, cache, keep_days=keep_days, now=lambda: last_asked + 10 * 86400 - 3600
    ).remove_unused()

    assert {key for key in "ab" if cache.get(key * 32) is not None} == left
