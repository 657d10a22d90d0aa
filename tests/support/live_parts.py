"""What a gateway shows progress with, in the test's own process: over a real PostgreSQL and a scripted aggregator."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.catalogue import begin, new_session
from tests.support.ending import end_tasks
from tests.support.real_servers import DEADLINE_SECONDS, eventually
from tests.support.scripted_progress import ScriptedProgress, phase_at_work, said
from triptych_common.rpc.channels import ReplicaPool
from triptych_gateway.api import event_stream
from triptych_gateway.api.catalog_watch import CatalogWatch
from triptych_gateway.api.health_watch import HealthWatch
from triptych_gateway.api.live_progress import LiveProgress
from triptych_gateway.api.snapshots import Snapshots
from triptych_gateway.catalog.runs import lifecycle
from triptych_gateway.catalog.runs.lifecycle import NEXT_MOMENT
from triptych_gateway.catalog.schema import sessions as session_rows
from triptych_gateway.catalog.sessions import control

PHOTOS = 1000


@dataclass(frozen=True, kw_only=True)
class LiveParts:
    """The parts, all of them at work."""

    engine: AsyncEngine
    progress: ScriptedProgress
    catalog: CatalogWatch
    live: LiveProgress
    health: HealthWatch
    snapshots: Snapshots

    async def session(self, status: str = "running") -> int:
        """A session in its training phase, as another gateway made it."""
        async with self.engine.begin() as connection:
            session_id = await new_session(connection, paths=[b"/photos/a"])
            if status != "pending":
                await control.start_session(connection, session_id)
                run = await begin(connection, session_id)
                await lifecycle.update_run(connection, run.id, total=PHOTOS)
            if status not in ("pending", "running"):
                await set_status(connection, session_id, status)
        return session_id

    async def change(self, session_id: int, status: str) -> None:
        """Have another gateway change a session's status."""
        async with self.engine.begin() as connection:
            await set_status(connection, session_id, status)

    async def delete(self, session_id: int) -> None:
        """Have another gateway delete a session."""
        async with self.engine.begin() as connection:
            await connection.execute(text("DELETE FROM sessions WHERE id = :id"), {"id": session_id})

    async def say(self, session_id: int, *, done: int) -> None:
        """Have the aggregator tell how far training is, and wait until the gateway has heard it."""
        revision = time.time_ns() // 1000
        self.progress.say(said(session_id, phase_at_work("training", done=done, total=PHOTOS), revision=revision))
        await self.until(lambda: self.has_heard(session_id, revision), "the gateway has heard it")

    def has_heard(self, session_id: int, revision: int) -> bool:
        """Whether the gateway has heard a revision of the aggregator's."""
        heard = self.live.get(session_id)
        return heard is not None and heard.progress.revision >= revision

    async def shown(self, session_id: int) -> dict[str, Any]:
        """What is shown of a session."""
        body: dict[str, Any] = json.loads((await self.snapshots.get(session_id)).content)
        return body

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""

        async def answer() -> bool:
            return holds()

        await eventually(answer, what)

    @contextlib.asynccontextmanager
    async def following(self, session_id: int | None, *, after_revision: int = 0) -> AsyncIterator["Events"]:
        """The stream of one session, or of all."""
        if session_id is None:
            stream = event_stream.follow_all(self.snapshots, after_microseconds=after_revision)
        else:
            stream = event_stream.follow_session(self.snapshots, session_id, after_revision=after_revision)
        assert isinstance(stream, AsyncGenerator)
        async with contextlib.aclosing(stream):
            yield Events(stream)


async def set_status(connection: AsyncConnection, session_id: int, status: str) -> None:
    """Change a session's status as the catalogue does."""
    await connection.execute(
        session_rows.update()
        .where(session_rows.c.id == session_id)
        .values(status=status, updated_at=NEXT_MOMENT, lifecycle_step=session_rows.c.lifecycle_step + 1)
    )


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of a stream."""

    name: str
    id: int
    body: dict[str, Any]

    @property
    def session_id(self) -> int:
        """The session that it tells of."""
        session_id: int = self.body["sessionId"]
        return session_id

    @property
    def done(self) -> int:
        """How far training is."""
        current: int = self.body["phases"]["training"]["progress"]["current"]
        return current


class Events:
    """A stream as its reader sees it."""

    def __init__(self, stream: AsyncGenerator[bytes, None]) -> None:
        self._stream = stream

    async def next(self) -> Event | None:
        """The next event; None for a heartbeat. Raises StopAsyncIteration at the end."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            content = await anext(self._stream)
        assert content.endswith(b"\n\n")
        if content.startswith(b":"):
            return None
        fields = dict(line.split(": ", 1) for line in content.decode().splitlines() if line)
        assert fields.keys() == {"event", "id", "data"}
        return Event(name=fields["event"], id=int(fields["id"]), body=json.loads(fields["data"]))

    async def next_event(self) -> Event:
        """The next event, whatever heartbeats come before it."""
        while True:
            event = await self.next()
            if event is not None:
                return event

    async def is_at_end(self) -> bool:
        """Whether nothing comes any more, not even a heartbeat."""
        try:
            await self.next()
        except StopAsyncIteration:
            return True
        return False


@contextlib.asynccontextmanager
async def live_parts(engine: AsyncEngine, progress: ScriptedProgress) -> AsyncIterator[LiveParts]:
    """The parts over a database and an aggregator; none of the worker services is asked for its health."""
    async with ReplicaPool([progress.address], service="progress") as pool:
        live = LiveProgress(pool)
        health = HealthWatch(photo_services={}, others={})
        catalog = CatalogWatch(engine, counts_needed=lambda: live.is_stale)
        snapshots = Snapshots(catalog=catalog, live=live, health=health)
        await catalog.prime()
        tasks = [asyncio.create_task(part.run()) for part in (live, catalog, snapshots)]
        parts = LiveParts(
            engine=engine, progress=progress, catalog=catalog, live=live, health=health, snapshots=snapshots
        )
        try:
            await parts.until(lambda: progress.is_watched, "the aggregator is watched")
            yield parts
        finally:
            await end_tasks(tasks)
