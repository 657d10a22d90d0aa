"""Connections to PostgreSQL, and the schema's version."""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from pgvector.asyncpg import register_vector
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from triptych_common.errors import ConfigurationError
from triptych_common.logging import get_logger

log = get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
"""The schema's versions, as Alembic keeps them."""
MIGRATION_LOCK = 7_201_001
"""Key of the advisory lock under which the schema is changed: one process at a time."""
CLUSTERING_LOCK = 7_201_002
"""Key of the advisory lock under which the library's faces are grouped."""
PLACES_LOCK = 7_201_003
"""Key of the advisory lock of a transaction that changes where faces stand or who they are; `places.lock` takes it."""
DISCOVERY_LOCK = 7_201_004
"""Key of the advisory lock of a transaction of discovery: shared by those that record what was found, and had alone by
one that gives known photos other paths."""
SEARCH_LOCK = 7_201_005
"""Key of the advisory lock of the one gateway that keeps the tables that are searched."""
PRIVACY_LOCK = 7_201_006
"""Key of the advisory lock of the one gateway that forgets what is to be forgotten, or was kept for long enough."""
LEAST_PGVECTOR = (0, 8)
"""Version of pgvector that walks its index on until enough rows pass a filter."""

TRUSTED_SECONDS: Final = 1.0
"""How long a connection that was given back is taken for alive. An older one is asked first, which costs three round
trips; one that is lost sooner, and not seen to be closed, fails its statement, and the whole pool begins anew."""
_RETURNED: Final = "returned"

DATABASE_AWAY = (DBAPIError, PoolTimeoutError, asyncpg.PostgresError, OSError, asyncio.TimeoutError)
"""What a lost or refused connection raises; `is_away` tells it from a statement that the database refused."""

_AWAY_CLASSES = ("08", "40", "53", "57", "58")
"""Classes of SQLSTATE that trying again may mend: connection lost, conflict with another transaction, no resources,
shut down by the operator, failure of the system beneath (PostgreSQL, appendix A)."""
_AWAY_STATES = ("25006", "55P03")
"""Read-only (a standby that is not promoted yet), and a lock that was not to be had."""


def is_away(error: BaseException) -> bool:
    """Whether the database is lost, hangs or starts: False for a statement that it will refuse each time."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        error = (error.orig.__cause__ if error.orig is not None else None) or error
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state.startswith(_AWAY_CLASSES) or state in _AWAY_STATES
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg's DataError is a value that the driver cannot send; its other interface errors are lost connections.
        return not isinstance(error, ValueError)
    # An InternalClientError is a driver that lost track of a connection that broke off.
    return isinstance(error, (PoolTimeoutError, OSError, asyncio.TimeoutError, asyncpg.InternalClientError))


def create_engine(
    database_url: str, *, pool_size: int = 10, statement_seconds: float = 120.0, connect_seconds: float = 10.0
) -> AsyncEngine:
    """An engine for a ``postgresql://`` URL (also with ``?host=/socket/directory``).

    A statement that takes longer than ``statement_seconds``, and a connection (its own, or a free one of the pool) that
    takes longer than ``connect_seconds``, count as a database that is away.

    Raises ConfigurationError for a URL of another kind.
    """
    engine = create_async_engine(
        _asyncpg_url(database_url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=connect_seconds,
        connect_args={
            "timeout": connect_seconds,
            "command_timeout": statement_seconds,
            "server_settings": {"application_name": "triptych"},
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _register(connection: Any, record: Any) -> None:
        connection.run_async(register_vector)
        record.info[_RETURNED] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkin")
    def _note_return(_: Any, record: Any) -> None:
        record.info[_RETURNED] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def _ask_if_old(connection: Any, record: Any, _: Any) -> None:
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError("a connection of the pool was closed")
        if time.monotonic() - record.info[_RETURNED] < TRUSTED_SECONDS:
            return
        try:
            connection.ping()
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError("a connection of the pool was lost") from error

    return engine


def _asyncpg_url(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise ConfigurationError(
            "DATABASE_URL cannot be read: it must look like postgresql://user@host/name."
        ) from error
    if url.get_backend_name() != "postgresql":
        raise ConfigurationError(
            f"DATABASE_URL names {url.get_backend_name()}; Triptych needs PostgreSQL with pgvector."
        )
    return url.set(drivername="postgresql+asyncpg")


def create_bare_engine(database_url: str) -> AsyncEngine:
    """An engine that knows nothing of vectors, whose type is not there before the first migration.

    Its statements may take any time. Raises ConfigurationError for a URL of another kind.
    """
    return create_async_engine(_asyncpg_url(database_url), pool_size=1, connect_args={"timeout": 10})


def known_revisions() -> set[str]:
    """The versions of the schema that this version of Triptych knows."""
    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def _newest_revision() -> str | None:
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


async def migrate(database_url: str) -> None:
    """Bring the schema to this version, under an advisory lock; waits for a database that is still starting.

    Raises ConfigurationError where PostgreSQL lacks pgvector or refuses the login, or a later version made the schema.
    """
    engine = create_bare_engine(database_url)
    try:
        connection = await _connect(engine)
        try:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
            await _check_revision(connection)
            await _check_rights(connection)
            await connection.run_sync(_upgrade)
            await _check_pgvector(connection)
            await connection.commit()
        finally:
            await connection.close()
    finally:
        await engine.dispose()


async def catalogue_revision(connection: AsyncConnection) -> str | None:
    """The version of the schema that the database has; None where it has no catalogue."""
    is_there = (await connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL"))).scalar_one()
    if not is_there:
        return None
    revision: str | None = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    return revision


async def _check_revision(connection: AsyncConnection) -> None:
    revision = await catalogue_revision(connection)
    if revision is not None and revision not in known_revisions():
        raise ConfigurationError(
            f"The catalogue has schema {revision}, which this version does not know: run the version of Triptych that"
            " made it, or restore a backup from before it was upgraded."
        )


async def _check_rights(connection: AsyncConnection) -> None:
    """Whoever may not change the schema needs it to be of this version already."""
    may_change = (await connection.execute(text("SELECT has_schema_privilege('public', 'CREATE')"))).scalar_one()
    if not may_change and await catalogue_revision(connection) != _newest_revision():
        raise ConfigurationError(
            "The catalogue is not of this version's schema, and the role of DATABASE_URL may not change that: run"
            " `triptych-migrate` with TRIPTYCH_DATABASE_OWNER_URL first."
        )


async def _check_pgvector(connection: AsyncConnection) -> None:
    version: str = (
        await connection.execute(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
    ).scalar_one()
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_PGVECTOR:
        raise ConfigurationError(
            f"The database has pgvector {version}, and Triptych needs {'.'.join(map(str, LEAST_PGVECTOR))} or later: "
            "install it, then run ALTER EXTENSION vector UPDATE in this database."
        )


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        try:
            return await engine.connect()
        except DATABASE_AWAY as error:
            if _is_refused_login(error):
                raise ConfigurationError("PostgreSQL refused the login in DATABASE_URL.") from error
            if asyncio.get_running_loop().time() > deadline:
                raise ConfigurationError(f"PostgreSQL does not answer at DATABASE_URL: {error}") from error
            log.info("waiting for postgresql", error=str(error).splitlines()[0] if str(error) else repr(error))
            await asyncio.sleep(0.5)


def _is_refused_login(error: BaseException) -> bool:
    """Whether PostgreSQL does not know whoever connects; SQLAlchemy wraps what the driver raises."""
    refusal = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig is not None else error
    return isinstance(refusal, asyncpg.InvalidAuthorizationSpecificationError)


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration over an open connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")
