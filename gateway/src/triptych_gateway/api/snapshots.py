"""The unified snapshot of a session: as one answer, and as a stream of changes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from triptych_gateway.api import schemas
from triptych_gateway.api.context import ApiContext
from triptych_gateway.api.unified import unify
from triptych_gateway.catalog import lifecycle, sessions

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
    """The present snapshot unless it is that revision, then one on each change; ends after a terminal one.

    Raises NotFoundError.
    """
    seen = after_revision
    while True:
        known = context.live.get(session_id)
        snapshot = await take_snapshot(context, session_id)
        if snapshot.revision > seen:
            seen = snapshot.revision
            yield snapshot
        if snapshot.overall_status in TERMINAL:
            return
        await context.live.wait_for_change(
            session_id, after_revision=known.revision if known is not None else 0, seconds=LOOK_EVERY_SECONDS
        )
