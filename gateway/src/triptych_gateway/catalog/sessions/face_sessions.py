"""Face sessions: the face-detection phase of training sessions, each under an id of its own.

The id is that of the phase's first run, which the session keeps however often the phase is restarted. An old session
without a run of the phase has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.paging import window

_FIRST_RUNS = "runs r WHERE r.phase = 'face_detection' AND r.number = 1"
_ORDERS = ("r.id DESC", "r.id ASC")


@dataclass(frozen=True, kw_only=True)
class FaceSession:
    """What is stored of a face session beside the runs of its training session."""

    id: int
    session_id: int
    shard_size: int
    created_at: datetime
    faces_in_groups: int
    """Faces in the session's photos that clustering has put into a group."""
    faces_of_persons: int
    """Faces in the session's photos that are shown as a person."""


async def list_face_sessions(
    connection: AsyncConnection, *, session_id: int | None, offset: int, limit: int
) -> tuple[list[FaceSession], int]:
    """Face sessions, newest first, and how many there are in all; with a session, only its own."""
    condition = _FIRST_RUNS if session_id is None else f"{_FIRST_RUNS} AND r.session_id = :session_id"
    parameters = {} if session_id is None else {"session_id": session_id}
    total = int((await connection.execute(text(f"SELECT count(*) FROM {condition}"), parameters)).scalar_one())  # noqa: S608
    part = window(offset=offset, limit=limit, total=total)
    # The ids alone first: nothing is looked up of those that are passed over.
    ids = await connection.execute(
        text(f"SELECT r.id FROM {condition} ORDER BY {_ORDERS[part.reverse]} OFFSET :offset LIMIT :limit"),  # noqa: S608
        {**parameters, "offset": part.offset, "limit": part.limit},
    )
    return await _load(connection, ids.scalars().all()), total


async def get_face_session(connection: AsyncConnection, face_session_id: int) -> FaceSession:
    """One face session. Raises NotFoundError."""
    found = await _load(connection, [face_session_id])
    if not found:
        raise NotFoundError(f"There is no face session {face_session_id}.")
    return found[0]


async def _load(connection: AsyncConnection, ids: Sequence[int]) -> list[FaceSession]:
    """Those of the ids that are face sessions, newest first."""
    rows = await connection.execute(
        text("""
            SELECT r.id, r.session_id, r.shard_size, s.created_at, coalesce(f.in_groups, 0) AS faces_in_groups,
                coalesce(f.of_persons, 0) AS faces_of_persons
            FROM runs r JOIN sessions s ON s.id = r.session_id LEFT JOIN session_faces f ON f.session_id = r.session_id
            WHERE r.id = ANY(CAST(:ids AS bigint[])) AND r.phase = 'face_detection' AND r.number = 1
            ORDER BY r.id DESC"""),
        {"ids": list(ids)},
    )
    return [
        FaceSession(
            id=row.id,
            session_id=row.session_id,
            shard_size=row.shard_size,
            created_at=row.created_at,
            faces_in_groups=row.faces_in_groups,
            faces_of_persons=row.faces_of_persons,
        )
        for row in rows
    ]
