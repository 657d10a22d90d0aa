"""Sessions: creating, finding and ending them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Row, case, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.paging import window
from triptych_gateway.catalog.runs import lifecycle
from triptych_gateway.catalog.schema import categories, runs, session_directories, sessions
from triptych_gateway.catalog.states import SessionStatus

Weighting = Literal["fixed", "calibrated"]
PHASES: Final = ("training", "face_detection", "clustering")
"""The phases of a session, in order."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session's row, with the counters of its training phase."""

    id: int
    name: str
    status: SessionStatus
    root_path: bytes
    config: Mapping[str, Any]
    weights: Mapping[str, float]
    weighting: Weighting
    """How the weights were chosen."""
    lifecycle_step: int
    """Announcements so far; only grows."""
    category: "Category | None"
    error_code: str | None
    error_message: str | None
    photos_found: int
    """Photos that discovery has come upon so far."""
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    discovered_at: datetime | None
    prepared_at: datetime | None
    paused_at: datetime | None
    completed_at: datetime | None
    total: int
    skipped: int
    done: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class Category:
    """A category's row."""

    id: int
    name: str
    description: str | None
    color: str | None
    is_default: bool
    created_at: datetime
    updated_at: datetime


async def create_session(
    connection: AsyncConnection,
    *,
    name: str,
    root_path: bytes,
    directories: Sequence[bytes] = (),
    config: Mapping[str, Any],
    weights: Mapping[str, float],
    category_id: int | None,
    shard_size: int,
) -> int:
    """Create a pending session with a first run of each phase; returns its id.

    It walks ``directories``, or all of ``root_path`` where none are chosen. Raises NotFoundError where the category
    does not exist.
    """
    if category_id is not None:
        # Locked, so that nobody deletes it before the session is in it.
        found = await connection.execute(
            select(categories.c.id).where(categories.c.id == category_id).with_for_update(read=True, key_share=True)
        )
        if found.first() is None:
            raise NotFoundError(f"There is no category {category_id}.")
    session_id: int = (
        await connection.execute(
            insert(sessions)
            .values(
                name=name,
                root_path=root_path,
                config=dict(config),
                weights=dict(weights),
                category_id=category_id,
            )
            .returning(sessions.c.id)
        )
    ).scalar_one()
    await connection.execute(
        insert(session_directories),
        [{"session_id": session_id, "path": path} for path in dict.fromkeys(directories or [root_path])],
    )
    await connection.execute(
        insert(runs),
        [{"session_id": session_id, "phase": phase, "number": 1, "shard_size": shard_size} for phase in PHASES],
    )
    return session_id


def _query() -> Any:
    latest = (
        select(runs.c.total, runs.c.skipped, runs.c.done, runs.c.failed)
        .where(runs.c.session_id == sessions.c.id, runs.c.phase == "training")
        .order_by(runs.c.number.desc())
        .limit(1)
        .lateral("training")
    )
    return (
        select(
            sessions,
            func.coalesce(latest.c.total, 0).label("total"),
            func.coalesce(latest.c.skipped, 0).label("skipped"),
            func.coalesce(latest.c.done, 0).label("done"),
            func.coalesce(latest.c.failed, 0).label("failed"),
            *(column.label(f"category_{column.name}_") for column in categories.c),
        )
        .select_from(sessions)
        .join(latest, text("true"), isouter=True)
        .join(categories, categories.c.id == sessions.c.category_id, isouter=True)
    )


def _session(row: Row[Any]) -> Session:
    values = row._mapping
    category = None
    if values["category_id_"] is not None:
        category = Category(**{column.name: values[f"category_{column.name}_"] for column in categories.c})
    names = Session.__dataclass_fields__.keys() - {"category"}
    return Session(category=category, **{name: values[name] for name in names})


def _shown_status() -> Any:
    discovering = (sessions.c.status == "running") & sessions.c.discovered_at.is_(None)
    return case((discovering, "discovering"), else_=sessions.c.status)


async def get_session(connection: AsyncConnection, session_id: int) -> Session:
    """A session. Raises NotFoundError."""
    row = (await connection.execute(_query().where(sessions.c.id == session_id))).first()
    if row is None:
        raise NotFoundError(f"There is no session {session_id}.")
    return _session(row)


async def traceparent_of(connection: AsyncConnection, session_id: int) -> str:
    """The trace in which a session was set going; empty where that is not traced."""
    found: str | None = (
        await connection.execute(select(sessions.c.traceparent).where(sessions.c.id == session_id))
    ).scalar_one()
    return found or ""


async def load_sessions(connection: AsyncConnection, session_ids: Collection[int]) -> list[Session]:
    """Sessions by their ids; those that are not there are left out."""
    rows = await connection.execute(_query().where(sessions.c.id.in_(list(session_ids))))
    return [_session(row) for row in rows]


async def list_sessions(
    connection: AsyncConnection, *, offset: int, limit: int, status: str | None
) -> tuple[list[Session], int]:
    """Sessions, newest first, and how many there are in all.

    ``status`` is the one that is shown: a running session whose photos are still being looked for is ``discovering``.
    """
    condition = _shown_status() == status if status is not None else text("true")
    total = (await connection.execute(select(func.count()).select_from(sessions).where(condition))).scalar_one()
    read = window(offset=offset, limit=limit, total=total)
    # The ids alone first: the runs of sessions that are passed over are not looked up.
    ids = await connection.execute(
        select(sessions.c.id)
        .where(condition)
        .order_by(sessions.c.id if read.reverse else sessions.c.id.desc())
        .offset(read.offset)
        .limit(read.limit)
    )
    rows = await connection.execute(
        _query().where(sessions.c.id.in_(ids.scalars().all())).order_by(sessions.c.id.desc())
    )
    return [_session(row) for row in rows], total


async def still_running(connection: AsyncConnection, session_ids: Collection[int]) -> set[int]:
    """Those of the sessions whose status is ``running``."""
    rows = await connection.execute(
        select(sessions.c.id).where(sessions.c.id.in_(list(session_ids)), sessions.c.status == "running")
    )
    return {row.id for row in rows}


async def selected_directories(connection: AsyncConnection, session_id: int) -> list[bytes]:
    """The directories that a session walks."""
    table = session_directories
    rows = await connection.execute(
        select(table.c.path).where(table.c.session_id == session_id, table.c.selected).order_by(table.c.id)
    )
    return [row.path for row in rows]


async def count_found(connection: AsyncConnection, session_id: int, photos_found: int) -> None:
    """Show how many photos discovery has come upon; one that begins again does not count back."""
    await connection.execute(
        update(sessions)
        .where(sessions.c.id == session_id)
        .values(photos_found=func.greatest(sessions.c.photos_found, photos_found), updated_at=lifecycle.NEXT_MOMENT)
    )


async def mark_discovered(connection: AsyncConnection, session_id: int, *, photos_found: int | None = None) -> None:
    """All photos of the session are known: totals are final."""
    counted = {} if photos_found is None else {"photos_found": photos_found}
    await connection.execute(
        update(sessions)
        .where(sessions.c.id == session_id)
        .values(discovered_at=func.now(), updated_at=lifecycle.NEXT_MOMENT, **counted)
    )


async def end_session(
    connection: AsyncConnection,
    session_id: int,
    *,
    status: Literal["completed", "failed"],
    error_code: str | None = None,
    error_message: str | None = None,
) -> None:
    """The session is over."""
    await connection.execute(
        update(sessions)
        .where(sessions.c.id == session_id)
        .values(
            status=status,
            error_code=error_code,
            error_message=error_message,
            completed_at=func.now(),
            updated_at=lifecycle.NEXT_MOMENT,
        )
    )


async def mark_prepared(
    connection: AsyncConnection, session_id: int, *, weights: Mapping[str, float], weighting: Weighting
) -> None:
    """The session's weights are final from now on."""
    await connection.execute(
        update(sessions)
        .where(sessions.c.id == session_id)
        .values(weights=dict(weights), weighting=weighting, prepared_at=func.now(), updated_at=lifecycle.NEXT_MOMENT)
    )
