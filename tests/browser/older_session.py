"""A session as they were when training was all that they did."""

import asyncio

from tests.browser.conftest import TRAIN_SECONDS
from tests.support.running_triptych import Client, Triptych


async def make_older(running: Triptych, client: Client, session_id: int) -> None:
    """Make a completed session one of these."""
    database = await running.connect_database()
    try:
        await database.execute("DELETE FROM runs WHERE session_id = $1 AND phase <> 'training'", session_id)
        await database.execute("UPDATE sessions SET updated_at = clock_timestamp() WHERE id = $1", session_id)
    finally:
        await database.close()
    async with asyncio.timeout(TRAIN_SECONDS):
        # The gateway looks for changes of others twice a second.
        while await runs_of_clustering(client, session_id):  # noqa: ASYNC110 - it is another process that looks
            await asyncio.sleep(0.1)


async def runs_of_clustering(client: Client, session_id: int) -> int:
    shown = await client.get(f"/training/sessions/{session_id}/progress-unified")
    number: int = shown["phases"]["clustering"]["run"]
    return number
