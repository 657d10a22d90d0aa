"""What a session's clustering made of persons with a name, kept for people to see."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.clustering.person_changes import ChangeKind
from triptych_gateway.catalog.clustering.regrouping import NamedPersonChange
from triptych_gateway.catalog.paging import window
from triptych_gateway.catalog.schema import changed_persons, persons, runs


@dataclass(frozen=True, kw_only=True)
class ChangedPerson:
    """That a person with a name was not the same faces after a clustering; see `PersonChange`."""

    kind: ChangeKind
    person_id: int
    name: str
    """The person's name at that time."""
    into_id: int | None
    """Who the faces that left became; None where they are in no group."""
    into_name: str | None
    """That person's name now; None without a name, and where there is no such person any more."""
    faces: int
    """How many faces left; 0 where they are in no group."""


async def record_changed_persons(
    connection: AsyncConnection, run_id: int, changes: Sequence[NamedPersonChange]
) -> None:
    """Remember what a run of clustering changed."""
    if changes:
        await connection.execute(insert(changed_persons), [{"run_id": run_id, **vars(change)} for change in changes])


async def list_changed_persons(
    connection: AsyncConnection, session_id: int, *, offset: int, limit: int
) -> tuple[list[ChangedPerson], int]:
    """What the session's latest clustering changed, in the order of the persons, and how much that is in all."""
    table = changed_persons
    latest = (
        select(runs.c.id)
        .where(runs.c.session_id == session_id, runs.c.phase == "clustering")
        .order_by(runs.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    condition = table.c.run_id == latest
    total = (await connection.execute(select(func.count()).select_from(table).where(condition))).scalar_one()
    read = window(offset=offset, limit=limit, total=total)
    columns = [column for column in table.c if column.name not in ("id", "run_id")]
    rows = (
        await connection.execute(
            select(*columns, persons.c.name.label("into_name"))
            .outerjoin(persons, persons.c.id == table.c.into_id)
            .where(condition)
            .order_by(table.c.id.desc() if read.reverse else table.c.id)
            .offset(read.offset)
            .limit(read.limit)
        )
    ).all()
    found = [ChangedPerson(**row._mapping) for row in rows]
    return (found[::-1] if read.reverse else found), total
