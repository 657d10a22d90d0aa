"""The unified snapshot of a session: as one answer, and as a stream of changes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from triptych_common.logging import get_logger
from triptych_gateway.api import schemas
from triptych_gateway.api.context import ApiContext
from triptych_gateway.api.unified import unify
from triptych_gateway.catalog import lifecycle, sessions
from triptych_gateway.catalog.database import DATABASE_AWAY, is_away
from triptych_gateway.catalog.sessions import NotFoundError

log = get_logger(__name__)

LOOK_EVERY_SECONDS: Final = 0.5
"""How often the catalogue is looked at for a change of status, between the aggregator's changes."""
TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})


async def take_snapshot(context: ApiContext, session_id: int) -> schemas.UnifiedProgress:
    """The session as it stands now. Raises NotFoundError."""
    async with context.engine.connect() as connection:
        session = await sessions.get_session(connection, session_id)
        runs = await lifecycle.latest_runs(connection, session_id)
    return unify(session, runs, context.live.get(session_id), now=datetime.now(UTC), stale=context.live.is_stale)


async def follow_snapshots(
    context: ApiContext, session_id: int, *, after_revision: int
) -> AsyncIterator[schemas.UnifiedProgress]:
    """The present snapshot unless it is that revision, then one on each change.

    Ends after a terminal one, when the session is deleted, and when the gateway shuts down. While the database is away
    it waits: a reader that were answered 503 when it connects again would not try a second time.
    """
    seen = after_revision
    while not context.closing.is_set():
        known = context.live.get(session_id)
        try:
            snapshot = await take_snapshot(context, session_id)
        except NotFoundError:
            return
        except DATABASE_AWAY as error:
            if not is_away(error):
                raise
            log.warning("a progress stream waits for the database", session=session_id, error=repr(error))
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            continue
        # Another revision, not only a larger one: after a restart of the gateway the aggregator's part is missing.
        if snapshot.revision != seen:
            seen = snapshot.revision
            yield snapshot
        if snapshot.overall_status in TERMINAL:
            return
        await context.live.wait_for_change(
            session_id, after_revision=known.revision if known is not None else 0, seconds=LOOK_EVERY_SECONDS
        )
