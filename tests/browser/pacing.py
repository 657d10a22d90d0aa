"""A session that goes on, but slowly: its face detector is let run for one answer after the other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from tests.support.running_triptych import POLL_SECONDS, Client, Triptych

PACE_SECONDS: Final = 1.0
"""How long an answer takes at least."""


async def photos_looked_at(client: Client, session_id: int) -> int:
    """Photos in which faces were looked for."""
    snapshot = await client.get(f"/training/sessions/{session_id}/progress-unified")
    done: int = snapshot["phases"]["faceDetection"]["progress"]["current"]
    return done


@contextlib.asynccontextmanager
async def photo_by_photo(running: Triptych, client: Client, session_id: int) -> AsyncIterator[None]:
    """Hold the face detector while the context lasts, and let it go on for an answer once in `PACE_SECONDS`.

    The session must be in face detection, and stay in it.
    """

    async def let_go_on() -> None:
        process = running.child("facedetect")
        while True:
            before = await photos_looked_at(client, session_id)
            process.resume()
            while await photos_looked_at(client, session_id) == before:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(POLL_SECONDS)
            process.suspend()
            await asyncio.sleep(PACE_SECONDS)

    with running.held("facedetect"):
        async with asyncio.TaskGroup() as tasks:
            pace = tasks.create_task(let_go_on())
            yield
            pace.cancel()
