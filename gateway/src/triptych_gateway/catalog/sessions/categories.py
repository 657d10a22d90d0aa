"""Categories of sessions: their names are their own, and at most one is the default."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, text, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_gateway.catalog.errors import NotFoundError
from triptych_gateway.catalog.schema import categories, sessions
from triptych_gateway.catalog.sessions.sessions import Category


class NameTakenError(Exception):
    """Another category has that name."""


@dataclass(frozen=True, kw_only=True)
class CountedCategory:
    """A category, and how many sessions are in it."""

    category: Category
    session_count: int


async def list_categories(connection: AsyncConnection, *, offset: int, limit: int) -> tuple[list[CountedCategory], int]:
    """Categories, the default one first and the others by name, and how many there are in all."""
    total = (await connection.execute(select(func.count()).select_from(categories))).scalar_one()
    rows = await connection.execute(
        _query()
        .order_by(categories.c.is_default.desc(), func.lower(categories.c.name), categories.c.id)
        .offset(offset)
        .limit(limit)
    )
    return [_counted(row) for row in rows], total


async def get_category(connection: AsyncConnection, category_id: int) -> CountedCategory:
    """One category. Raises NotFoundError."""
    row = (await connection.execute(_query().where(categories.c.id == category_id))).first()
    if row is None:
        raise _not_found(category_id)
    return _counted(row)


async def create_category(
    connection: AsyncConnection, *, name: str, description: str | None, color: str | None, is_default: bool
) -> CountedCategory:
    """Create a category; a default one takes the place of the former default. Raises NameTakenError."""
    await _let_nobody_else_write(connection)
    await _check_name(connection, name, others=true())
    if is_default:
        await _unset_default(connection, others=true())
    created = await connection.execute(
        insert(categories)
        .values(name=name, description=description, color=color, is_default=is_default)
        .returning(categories.c.id)
    )
    return await get_category(connection, created.scalar_one())


async def change_category(connection: AsyncConnection, category_id: int, changes: Mapping[str, Any]) -> CountedCategory:
    """Change ``name``, ``description``, ``color`` or ``is_default``; what is not named stays.

    Raises NotFoundError and NameTakenError.
    """
    await _let_nobody_else_write(connection)
    this, others = categories.c.id == category_id, categories.c.id != category_id
    there = await connection.execute(select(categories.c.id).where(this).with_for_update())
    if there.first() is None:
        raise _not_found(category_id)
    if "name" in changes:
        await _check_name(connection, changes["name"], others=others)
    if changes.get("is_default"):
        await _unset_default(connection, others=others)
    if changes:
        await connection.execute(update(categories).where(this).values(**changes, updated_at=func.now()))
    return await get_category(connection, category_id)


async def delete_category(connection: AsyncConnection, category_id: int) -> None:
    """Delete a category; its sessions are left without one. Raises NotFoundError."""
    deleted = await connection.execute(delete(categories).where(categories.c.id == category_id))
    if deleted.rowcount == 0:
        raise _not_found(category_id)


def _query() -> Any:
    count = (
        select(func.count()).select_from(sessions).where(sessions.c.category_id == categories.c.id).scalar_subquery()
    )
    return select(categories, count.label("session_count"))


def _counted(row: Row[Any]) -> CountedCategory:
    values = dict(row._mapping)
    return CountedCategory(session_count=values.pop("session_count"), category=Category(**values))


def _not_found(category_id: int) -> NotFoundError:
    return NotFoundError(f"There is no category {category_id}.")


async def _let_nobody_else_write(connection: AsyncConnection) -> None:
    # There is no row to lock for a name, or a default, that is not there yet. Readers, and sessions that are created in
    # a category, do not wait.
    await connection.execute(text("LOCK TABLE categories IN SHARE ROW EXCLUSIVE MODE"))


async def _check_name(connection: AsyncConnection, name: str, *, others: ColumnElement[bool]) -> None:
    taken = await connection.execute(select(categories.c.id).where(others, categories.c.name == name))
    if taken.first() is not None:
        raise NameTakenError(f"There is a category named {name} already.")


async def _unset_default(connection: AsyncConnection, *, others: ColumnElement[bool]) -> None:
    await connection.execute(
        update(categories).where(others, categories.c.is_default).values(is_default=False, updated_at=func.now())
    )
