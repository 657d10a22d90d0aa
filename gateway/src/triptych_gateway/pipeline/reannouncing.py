"""Announces everything again where an aggregator has lost its stream or its snapshots: the catalogue knows it all.

Nothing here needs a session's lease: an announcement tells what the rows say, under the session's next step, in one
transaction. Counts are absolute, so telling them twice does no harm.
"""

import asyncio
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from triptych_common.logging import get_logger
from triptych_common.progress.events import REANNOUNCE_ACCEPTED, REANNOUNCE_SUBJECT
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away
from triptych_gateway.catalog.runs import lifecycle, shards
from triptych_gateway.catalog.runs.lifecycle import Run
from triptych_gateway.catalog.schema import sessions

log = get_logger(__name__)

_QUEUE: Final = "gateways"
_RETRY_SECONDS: Final = 1.0


class Reannouncer:
    """Takes requests of aggregators; one of the gateways answers each."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._wanted = asyncio.Event()

    async def subscribe(self, client: Client) -> None:
        """Take requests from this connection on; they are also taken after it was lost and made again."""
        await client.subscribe(REANNOUNCE_SUBJECT, queue=_QUEUE, cb=self._on_request)

    async def _on_request(self, message: Msg) -> None:
        self._wanted.set()
        await message.respond(REANNOUNCE_ACCEPTED)

    async def run(self) -> None:
        """Announce whenever it was asked for, until cancelled; requests that come meanwhile make one more round."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                count = await self._announce_all()
            except DATABASE_AWAY as error:
                if not is_away(error):
                    raise
                log.warning("announcing again waits for the database", error=repr(error))
                self._wanted.set()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                log.info("announced every session again", sessions=count)

    async def _announce_all(self) -> int:
        """Announce session by session, newest first, each in a transaction of its own; returns how many."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(
                select(sessions.c.id).where(sessions.c.status != "pending").order_by(sessions.c.id.desc())
            )
            ids = [row.id for row in rows]
        for session_id in ids:
            async with self._engine.begin() as connection:
                for run in (await lifecycle.latest_runs(connection, session_id)).values():
                    await lifecycle.announce(connection, run)
                    await _announce_shards(connection, run)
        return len(ids)


async def _announce_shards(connection: AsyncConnection, run: Run) -> None:
    """Announce the counts of a run's shards; of a completed one those with failures, since the rest follows."""
    if run.phase == "clustering" or run.status == "pending":
        return
    announced = [
        shard
        for shard in await shards.shard_counts(connection, run)
        if shard.failed or (run.status != "completed" and shard.has_begun)
    ]
    # The fold takes what it knows already for a late duplicate; the stream must not take it for one.
    await shards.announce_shards(connection, run, announced, epoch=0, repeat=True)
