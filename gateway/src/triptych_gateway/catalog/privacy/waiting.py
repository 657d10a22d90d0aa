"""What a forgetting may have to wait for."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.database import CLUSTERING_LOCK


class MustWaitError(Exception):
    """It cannot be done now; the message says what it waits for, in one sentence."""


async def require_no_clustering(connection: AsyncConnection) -> None:
    """Have no clustering begin before the transaction ends. Raises MustWaitError where one is at work.

    It holds all faces in memory, and would write down whom they are near to after they are gone.
    """
    has_it = (
        await connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": CLUSTERING_LOCK})
    ).scalar_one()
    if not has_it:
        raise MustWaitError("A clustering is at work; faces are removed after it.")
