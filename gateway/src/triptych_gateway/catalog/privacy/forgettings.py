"""What somebody asked to have forgotten: asked for, looked up, carried on, done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.library import photos
from triptych_gateway.catalog.people import persons
from triptych_gateway.catalog.privacy import photo_removal
from triptych_gateway.catalog.sessions import control
from triptych_gateway.catalog.states import press

Kind = Literal["person", "photo", "session"]


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """A person, photo or session that is to be forgotten, or is, and what was removed so far."""

    id: int
    kind: Kind
    subject_id: int
    keeps_out: bool
    """Of a person: whether the places of the faces are kept out of later searches for faces."""
    persons: int
    faces: int
    photos: int
    sessions: int
    waits_for: str | None
    """What it waits for, in one sentence."""
    asked_at: datetime
    done_at: datetime | None


_COLUMNS: Final = ", ".join(Forgetting.__dataclass_fields__)


async def ask(connection: AsyncConnection, kind: Kind, subject_id: int, *, keeps_out: bool = False) -> Forgetting:
    """Have somebody or something forgotten; what was asked for already stays as it was asked for.

    Raises NotFoundError; NotAllowedError for a session that runs, and for a photo of one that runs or is paused.
    """
    found = await _find(connection, "kind = :kind AND subject_id = :subject_id", kind=kind, subject_id=subject_id)
    if found is not None:
        return found
    if kind == "person":
        await persons.get_person(connection, subject_id)
    elif kind == "photo":
        await photos.get_asset(connection, subject_id)
        await photo_removal.check_unused(connection, subject_id)
    else:
        press((await control.lock_session(connection, subject_id)).status, "delete")
    await connection.execute(
        text("""
            INSERT INTO forgettings (kind, subject_id, keeps_out) VALUES (:kind, :subject_id, :keeps_out)
            ON CONFLICT (kind, subject_id) DO NOTHING"""),
        {"kind": kind, "subject_id": subject_id, "keeps_out": keeps_out and kind == "person"},
    )
    made = await _find(connection, "kind = :kind AND subject_id = :subject_id", kind=kind, subject_id=subject_id)
    if made is None:
        raise RuntimeError("what was just asked for is there")
    if kind == "photo":
        await photo_removal.choose(connection, made.id, [subject_id])
    return made


async def get_forgetting(connection: AsyncConnection, forgetting_id: int) -> Forgetting:
    """One of them. Raises NotFoundError."""
    found = await _find(connection, "id = :id", id=forgetting_id)
    if found is None:
        raise NotFoundError(f"There is no forgetting {forgetting_id}.")
    return found


async def list_forgettings(connection: AsyncConnection, *, offset: int, limit: int) -> tuple[list[Forgetting], int]:
    """All that were asked for and are still kept, newest first, and how many there are."""
    total: int = (await connection.execute(text("SELECT count(*) FROM forgettings"))).scalar_one()
    rows = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM forgettings ORDER BY id DESC OFFSET :offset LIMIT :limit"),  # noqa: S608
        {"offset": offset, "limit": limit},
    )
    return [Forgetting(**row._mapping) for row in rows], total


async def open_forgettings(connection: AsyncConnection) -> list[int]:
    """Those that are not done, oldest first."""
    rows = await connection.execute(text("SELECT id FROM forgettings WHERE done_at IS NULL ORDER BY id"))
    return [row.id for row in rows]


async def last_done(connection: AsyncConnection) -> str:
    """A mark that changes whenever something more is forgotten: empty before anything was."""
    moment: datetime | None = (await connection.execute(text("SELECT max(done_at) FROM forgettings"))).scalar_one()
    return "" if moment is None else moment.isoformat()


async def add_removed(connection: AsyncConnection, forgetting_id: int, removed: Mapping[str, int]) -> None:
    """Count what was removed: ``persons``, ``faces``, ``photos``, ``sessions``."""
    await connection.execute(
        text("""
            UPDATE forgettings SET persons = persons + :persons, faces = faces + :faces, photos = photos + :photos,
                sessions = sessions + :sessions, waits_for = NULL
            WHERE id = :id"""),
        {"persons": 0, "faces": 0, "photos": 0, "sessions": 0, **removed, "id": forgetting_id},
    )


async def say_waiting(connection: AsyncConnection, forgetting_id: int, waits_for: str) -> None:
    """Tell what it waits for."""
    await connection.execute(
        text("UPDATE forgettings SET waits_for = :waits_for WHERE id = :id AND waits_for IS DISTINCT FROM :waits_for"),
        {"waits_for": waits_for, "id": forgetting_id},
    )


async def mark_done(connection: AsyncConnection, forgetting_id: int) -> None:
    """Nothing of it is left in the catalogue."""
    # Later than any other, also where the clock was set back: `last_done` must change.
    await connection.execute(
        text("""
            UPDATE forgettings SET waits_for = NULL, done_at = greatest(clock_timestamp(),
                (SELECT max(done_at) FROM forgettings) + interval '1 microsecond')
            WHERE id = :id"""),
        {"id": forgetting_id},
    )


async def _find(connection: AsyncConnection, condition: str, **parameters: Any) -> Forgetting | None:
    row = (
        await connection.execute(text(f"SELECT {_COLUMNS} FROM forgettings WHERE {condition}"), parameters)  # noqa: S608
    ).first()
    return None if row is None else Forgetting(**row._mapping)
