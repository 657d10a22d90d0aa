"""Removes a session, and has the photos that no other session has removed after it."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.progress.events import forgotten_subject, subjects_of
from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.privacy.waiting import MustWaitError
from triptych_gateway.catalog.sessions import control, session_edits
from triptych_gateway.catalog.states import NotAllowedError

_ONLY_ITS_OWN: Final = """
    INSERT INTO forgetting_photos (forgetting_id, asset_id)
    SELECT :forgetting_id, j.asset_id FROM session_assets j WHERE j.session_id = :session_id AND NOT EXISTS (
        SELECT 1 FROM session_assets o WHERE o.asset_id = j.asset_id AND o.session_id <> :session_id)
    ON CONFLICT DO NOTHING"""


async def remove_session(connection: AsyncConnection, forgetting_id: int, session_id: int) -> dict[str, int] | None:
    """Remove a session in one transaction; returns how many ``sessions`` there were, or None where it is gone already.

    Raises MustWaitError while it runs.
    """
    try:
        await control.lock_session(connection, session_id)
        await connection.execute(text(_ONLY_ITS_OWN), {"forgetting_id": forgetting_id, "session_id": session_id})
        await session_edits.delete_session(connection, session_id)
    except NotFoundError:
        return None
    except NotAllowedError as error:
        raise MustWaitError(f"Session {session_id} is {error.status}; it goes once that is over.") from error
    await _have_progress_forgotten(connection, session_id)
    return {"sessions": 1}


async def _have_progress_forgotten(connection: AsyncConnection, session_id: int) -> None:
    """Announce nothing of the session any more but that it is forgotten."""
    await connection.execute(
        text("DELETE FROM outbox WHERE subject LIKE :subjects"), {"subjects": subjects_of(session_id, wildcard="%")}
    )
    await connection.execute(
        text("INSERT INTO outbox (subject, message_id, payload) VALUES (:subject, :message_id, '')"),
        {"subject": forgotten_subject(session_id), "message_id": f"{session_id}.forgotten"},
    )
