"""The role that a gateway works as: it may change rows, and nothing about the tables that hold them.

The owner of the catalogue makes it and says what it may, after each migration, so that it may use new tables at once.
What it makes itself, tables of vectors that are searched, lies in a schema of its own, first in its search path.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.errors import ConfigurationError
from triptych_common.logging import get_logger
from triptych_gateway.catalog.search.search_spaces import MAKE_ANEW_SQL

log = get_logger(__name__)

SEARCH_SCHEMA: Final = "search"
"""Holds what can be made again, and is the runtime role's to make it."""
_SEARCH_PATH: Final = f"{SEARCH_SCHEMA}, public"
NOT_ALLOWED: Final = {
    "alembic_version": ("INSERT", "UPDATE", "DELETE"),
    # Added to, and removed from when it is old, which a trigger sees to.
    "audit": ("UPDATE",),
    # Tokens are revoked, never removed: the audit log names them.
    "tokens": ("DELETE",),
}
"""Table → what the runtime role may not do with its rows, of reading, adding, changing and removing them."""
_LOOKS_FOR_TABLES_IN: Final = """
    SELECT EXISTS (
        SELECT 1 FROM pg_db_role_setting s
        JOIN pg_roles r ON r.oid = s.setrole JOIN pg_database d ON d.oid = s.setdatabase
        WHERE r.rolname = :name AND d.datname = current_database() AND :setting = ANY (s.setconfig))"""
_LEFT_BY_THE_OWNER: Final = r"""
    SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^search_vectors_[0-9]+$'"""


@dataclass(frozen=True, kw_only=True)
class RuntimeRole:
    """Whom gateways connect as."""

    name: str
    password: str


async def provide_runtime_role(connection: AsyncConnection, role: RuntimeRole) -> None:
    """Make the role where it is not there, and allow it what it needs. The connection is of the catalogue's owner.

    Raises ConfigurationError where the owner may make no roles, or the role could do more than it is to.
    """
    if (await connection.execute(text("SELECT current_user"))).scalar_one() == role.name:
        return
    await _make(connection, role)
    quoted = await _quoted(connection, role.name)
    database = await _quoted(connection, (await connection.execute(text("SELECT current_database()"))).scalar_one())
    for statement in _rights(quoted, database):
        await connection.execute(text(statement))
    await _lead_to_search_schema(connection, role, search_path_statement(quoted, database))
    await _give_up_search_tables(connection)


async def _make(connection: AsyncConnection, role: RuntimeRole) -> None:
    found = (
        await connection.execute(
            text("SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls FROM pg_roles WHERE rolname = :name"),
            {"name": role.name},
        )
    ).first()
    if found is not None:
        if found[0]:
            raise ConfigurationError(
                f"The role {role.name} of DATABASE_URL may more than a gateway needs: name another one."
            )
        return
    made = await connection.execute(
        text(
            "SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L',"
            " CAST(:name AS text), CAST(:password AS text))"
        ),
        {"name": role.name, "password": role.password},
    )
    try:
        async with connection.begin_nested():
            await connection.exec_driver_sql(made.scalar_one())
    except ProgrammingError as error:
        # Neither the statement nor its cause: they hold the password.
        raise ConfigurationError(
            f"The owner of the catalogue may make no role {role.name}: make it, with LOGIN and its password."
        ) from error.orig
    log.info("the role that gateways work as is made", role=role.name)


def _rights(role: str, database: str) -> list[str]:
    """What the role may; all of it is said anew each time, so that nothing is left from before."""
    return [
        f"CREATE SCHEMA IF NOT EXISTS {SEARCH_SCHEMA}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT USAGE, CREATE ON SCHEMA {SEARCH_SCHEMA} TO {role}",
        f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
        *(f"REVOKE {', '.join(rights)} ON public.{table} FROM {role}" for table, rights in NOT_ALLOWED.items()),
    ]


def search_path_statement(role: str, database: str) -> str:
    """The statement that has the role find, and make, the tables that are searched in the schema of theirs."""
    return f"ALTER ROLE {role} IN DATABASE {database} SET search_path = {_SEARCH_PATH}"


async def _lead_to_search_schema(connection: AsyncConnection, role: RuntimeRole, statement: str) -> None:
    """See to the role's search path, which an owner that may make no roles cannot set, but finds set."""
    known = {"name": role.name, "setting": f"search_path={_SEARCH_PATH}"}
    if (await connection.execute(text(_LOOKS_FOR_TABLES_IN), known)).scalar_one():
        return
    try:
        async with connection.begin_nested():
            await connection.execute(text(statement))
    except ProgrammingError as error:
        raise ConfigurationError(
            f"The owner of the catalogue may not set the search path of the role {role.name}: have whoever administers"
            f" the database run `{statement}` in it."
        ) from error


async def _give_up_search_tables(connection: AsyncConnection) -> None:
    """Have tables that were made when gateways were the owner made anew: the role could not replace them."""
    names = (await connection.execute(text(_LEFT_BY_THE_OWNER))).scalars().all()
    for name in names:
        await connection.execute(text(f"DROP TABLE public.{name}"))
    if names:
        await connection.execute(text(MAKE_ANEW_SQL))
        log.info("search tables are made anew by the role that gateways work as", tables=len(names))


async def _quoted(connection: AsyncConnection, name: str) -> str:
    quoted: str = (
        await connection.execute(text("SELECT quote_ident(CAST(:name AS text))"), {"name": name})
    ).scalar_one()
    return quoted
