"""Publishes the catalogue's outbox to NATS: every lifecycle event reaches the stream, in the order it was written."""

import asyncio
from typing import Final

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from triptych_common.logging import get_logger
from triptych_common.progress.publisher import connect_nats
from triptych_gateway.catalog.database import DATABASE_AWAY
from triptych_gateway.pipeline.reannouncing import Reannouncer

log = get_logger(__name__)

POLL_SECONDS: Final = 0.2
_BATCH: Final = 500


class OutboxRelay:
    """Moves events from the outbox to the stream until cancelled; events wait while either side is away."""

    def __init__(self, engine: AsyncEngine, *, nats_url: str, reannouncer: Reannouncer) -> None:
        self._engine = engine
        self._reannouncer = reannouncer
        self._nats_url = nats_url
        self._away = False

    async def run(self) -> None:
        """Relay until cancelled."""
        client: Client | None = None
        try:
            while True:
                try:
                    if client is None or client.is_closed:
                        client = await connect_nats(self._nats_url, name="gateway outbox")
                        await self._reannouncer.subscribe(client)
                    moved = await self._relay(client)
                    self._say(away=False)
                except (nats.errors.Error, TimeoutError, OSError) as error:
                    self._say(away=True, error=repr(error))
                    moved = 0
                except DATABASE_AWAY as error:
                    self._say(away=True, error=repr(error))
                    moved = 0
                if moved < _BATCH:
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            if client is not None:
                await client.close()

    async def _relay(self, client: Client) -> int:
        """Publish and delete the oldest events; returns how many. What fails to be published stays."""
        jetstream = client.jetstream(timeout=5)
        async with self._engine.begin() as connection:
            rows = (
                await connection.execute(
                    text("""
                        SELECT id, subject, message_id, payload FROM outbox
                        ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED"""),
                    {"batch": _BATCH},
                )
            ).all()
            if not rows:
                return 0
            if not client.is_connected:
                raise nats.errors.ConnectionClosedError
            for row in rows:
                await jetstream.publish(row.subject, row.payload, headers={"Nats-Msg-Id": row.message_id})
            await connection.execute(
                text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS bigint[]))"), {"ids": [row.id for row in rows]}
            )
        return len(rows)

    def _say(self, *, away: bool, error: str = "") -> None:
        """Log the first failure and the recovery, not every attempt between."""
        if away and not self._away:
            log.warning("events wait in the outbox", error=error)
        elif self._away and not away:
            log.info("events leave the outbox again")
        self._away = away
