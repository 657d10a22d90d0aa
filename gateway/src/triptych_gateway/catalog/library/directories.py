"""Directories: what of them is trained, which are ignored, and which ones a session walks."""

import posixpath
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.schema import ignored_directories as ignored_table
from triptych_gateway.catalog.states import NotAllowedError, SessionStatus, allowed_buttons


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What the catalogue knows of the photos of a directory, and of those below it where they were asked for."""

    photo_count: int
    trained_count: int
    last_trained_at: datetime | None
    is_under_way: bool
    """Whether a running session walks it, or what is below it."""
    is_selected: bool
    """Whether a session, whatever became of it, was given this very directory to walk."""


@dataclass(frozen=True, kw_only=True)
class IgnoredDirectory:
    """A directory that no session walks."""

    path: bytes
    reason: str | None
    ignored_by: str | None
    ignored_at: datetime


@dataclass(frozen=True, kw_only=True)
class Subdirectory:
    """A directory of a session."""

    id: int
    session_id: int
    path: bytes
    selected: bool
    created_at: datetime
    session_status: SessionStatus
    is_discovered: bool
    photo_count: int
    trained_count: int


class AlreadyIgnoredError(Exception):
    """The directory is on the list already."""


class NothingSelectedError(Exception):
    """No directory of a session would be walked."""


def below(directory: bytes) -> tuple[bytes, bytes]:
    """The paths below a directory are those from the first of these on that come before the second."""
    prefix = directory.rstrip(b"/")
    # "0" is the character after "/".
    return prefix + b"/", prefix + b"0"


_COUNTERS: Final = """
    LATERAL (
        SELECT coalesce(sum(d.photo_count), 0) AS photo_count, coalesce(sum(d.trained_count), 0) AS trained_count,
            max(d.last_trained_at) AS last_trained_at
        FROM (
            SELECT * FROM directories WHERE path = asked.path
            UNION ALL
            SELECT * FROM directories WHERE path >= asked.first AND path < asked.after AND asked.recursive) d)
        counters"""


async def trained(connection: AsyncConnection, paths: Sequence[bytes], *, with_below: bool = True) -> list[Trained]:
    """What is known of directories, in the order in which they are asked for."""
    bounds = [below(path) for path in paths]
    rows = await connection.execute(
        text(f"""
            SELECT asked.path, counters.*
            FROM (SELECT *, CAST(:recursive AS boolean) AS recursive FROM unnest(
                CAST(:paths AS bytea[]), CAST(:firsts AS bytea[]), CAST(:afters AS bytea[]))
                WITH ORDINALITY AS bounds(path, first, after, place)) asked, {_COUNTERS}
            ORDER BY asked.place"""),  # noqa: S608 - constants
        {
            "paths": list(paths),
            "firsts": [one[0] for one in bounds],
            "afters": [one[1] for one in bounds],
            "recursive": with_below,
        },
    )
    walked = await _walked_now(connection)
    ordered = list(walked)
    selected = await _selected(connection, paths)
    return [
        Trained(
            photo_count=int(row.photo_count),
            trained_count=int(row.trained_count),
            last_trained_at=row.last_trained_at,
            is_under_way=_is_under_way(row.path, walked, ordered),
            is_selected=row.path in selected,
        )
        for row in rows
    ]


async def _walked_now(connection: AsyncConnection) -> dict[bytes, bool]:
    """Directories that running sessions were given, in order, and whether what is below them is walked too."""
    rows = await connection.execute(
        text("""
            SELECT w.path, bool_or(coalesce(CAST(s.config ->> 'recursive' AS boolean), true)) AS recursive
            FROM sessions s JOIN session_directories w ON w.session_id = s.id
            WHERE s.status = 'running' AND w.selected GROUP BY w.path ORDER BY w.path""")
    )
    return {row.path: row.recursive for row in rows}


def _is_under_way(path: bytes, walked: Mapping[bytes, bool], ordered: Sequence[bytes]) -> bool:
    if path in walked:
        return True
    first, after = below(path)
    place = bisect_left(ordered, first)
    if place < len(ordered) and ordered[place] < after:
        return True
    while (parent := posixpath.dirname(path)) != path:
        if walked.get(parent, False):
            return True
        path = parent
    return False


async def _selected(connection: AsyncConnection, paths: Sequence[bytes]) -> set[bytes]:
    """Those of some directories that sessions were given to walk."""
    rows = await connection.execute(
        text("SELECT DISTINCT path FROM session_directories WHERE selected AND path = ANY(CAST(:paths AS bytea[]))"),
        {"paths": list(paths)},
    )
    return {row.path for row in rows}


async def ignored_directories(connection: AsyncConnection) -> list[bytes]:
    """Paths of the directories that no session walks."""
    return [row.path for row in await connection.execute(select(ignored_table.c.path))]


async def list_ignored(connection: AsyncConnection) -> list[IgnoredDirectory]:
    """The directories that no session walks, by path."""
    rows = await connection.execute(select(ignored_table).order_by(ignored_table.c.path))
    return [
        IgnoredDirectory(path=row.path, reason=row.reason, ignored_by=row.ignored_by, ignored_at=row.ignored_at)
        for row in rows
    ]


async def ignore_directory(connection: AsyncConnection, path: bytes, *, reason: str | None) -> datetime:
    """Leave a directory out of all sessions from now on; returns the moment. Raises AlreadyIgnoredError."""
    added = await connection.execute(
        upsert(ignored_table)
        .values(path=path, reason=reason)
        .on_conflict_do_nothing(index_elements=["path"])
        .returning(ignored_table.c.ignored_at)
    )
    row = added.first()
    if row is None:
        raise AlreadyIgnoredError
    moment: datetime = row.ignored_at
    return moment


async def heed_directory(connection: AsyncConnection, path: bytes) -> datetime:
    """Let sessions walk an ignored directory again; returns since when it was ignored. Raises NotFoundError."""
    removed = await connection.execute(
        delete(ignored_table).where(ignored_table.c.path == path).returning(ignored_table.c.ignored_at)
    )
    row = removed.first()
    if row is None:
        raise NotFoundError("The directory is not ignored.")
    moment: datetime = row.ignored_at
    return moment


async def list_subdirectories(connection: AsyncConnection, session_id: int) -> list[Subdirectory]:
    """The directories of a session, in the order in which they were named. The caller has found the session."""
    rows = await connection.execute(
        text(f"""
            SELECT asked.id, asked.session_id, asked.path, asked.selected, asked.created_at, asked.session_status,
                asked.is_discovered, counters.photo_count, counters.trained_count
            FROM (
                SELECT w.*, s.status AS session_status, s.discovered_at IS NOT NULL AS is_discovered,
                    coalesce(CAST(s.config ->> 'recursive' AS boolean), true) AS recursive,
                    convert_to(rtrim(convert_from(w.path, 'LATIN1'), '/') || '/', 'LATIN1') AS first,
                    convert_to(rtrim(convert_from(w.path, 'LATIN1'), '/') || '0', 'LATIN1') AS after
                FROM session_directories w JOIN sessions s ON s.id = w.session_id WHERE s.id = :session_id) asked,
                {_COUNTERS}
            ORDER BY asked.id"""),  # noqa: S608 - constants
        {"session_id": session_id},
    )
    return [_subdirectory(row) for row in rows]


def _subdirectory(row: Row[Any]) -> Subdirectory:
    values = dict(row._mapping)
    return Subdirectory(**{**values, **{name: int(values[name]) for name in ("photo_count", "trained_count")}})


async def select_subdirectories(connection: AsyncConnection, session_id: int, chosen: dict[int, bool]) -> None:
    """Choose, by id, which of its directories a session walks; those that are not named stay as they are.

    Raises NotFoundError, also for an id of another session; NotAllowedError once the session was started; and
    NothingSelectedError.
    """
    session = (
        await connection.execute(text("SELECT status FROM sessions WHERE id = :id FOR UPDATE"), {"id": session_id})
    ).first()
    if session is None:
        raise NotFoundError(f"There is no session {session_id}.")
    there = await connection.execute(
        text("SELECT id FROM session_directories WHERE session_id = :id"), {"id": session_id}
    )
    unknown = sorted(chosen.keys() - {row.id for row in there})
    if unknown:
        raise NotFoundError(f"There is no subdirectory {unknown[0]} in session {session_id}.")
    if session.status != "pending":
        raise NotAllowedError(
            f"The directories of a {session.status} session cannot be chosen any more: create a new one.",
            status=session.status,
            allowed=allowed_buttons(session.status),
        )
    await connection.execute(
        text("""
            UPDATE session_directories d SET selected = c.selected
            FROM unnest(CAST(:ids AS bigint[]), CAST(:selected AS boolean[])) AS c(id, selected)
            WHERE d.id = c.id"""),
        {"ids": list(chosen), "selected": list(chosen.values())},
    )
    left = await connection.execute(
        text("SELECT 1 FROM session_directories WHERE session_id = :id AND selected LIMIT 1"), {"id": session_id}
    )
    if left.first() is None:
        raise NothingSelectedError
