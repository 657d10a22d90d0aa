"""Restores a backup in one transaction: the catalogue is the backup's afterwards, or what it was before."""

import asyncio
from typing import Final, TypeVar

from triptych_common.errors import ConfigurationError
from triptych_gateway.backup import progress_stream
from triptych_gateway.backup.contents import Backup
from triptych_gateway.backup.database_state import (
    connected_gateways,
    holds_anything,
    server_major_version,
    strange_tables,
)
from triptych_gateway.backup.programs import connection_environment, find_program, last_words
from triptych_gateway.catalog.database import MIGRATION_LOCK, create_bare_engine, known_revisions, migrate
from triptych_gateway.catalog.runs.leases import LAPSE_ALL_SQL
from triptych_gateway.catalog.search.search_spaces import MAKE_ANEW_SQL

StreamT = TypeVar("StreamT")

_PART_BYTES: Final = 2**20
_EMPTY: Final = """
    DO $$ DECLARE one record; BEGIN
        FOR one IN
            SELECT format('DROP %s IF EXISTS %s CASCADE',
                CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                    ELSE 'TABLE' END, c.oid::regclass) AS statement
            FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT EXISTS (
                SELECT 1 FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i'))
            UNION ALL
            SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)
            FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND NOT EXISTS (
                SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
        LOOP EXECUTE one.statement; END LOOP;
    END $$;"""
"""Drops the tables, sequences and functions that are no extension's, those of identity columns with their tables."""
_BEFORE: Final = f"""
    BEGIN;
    SELECT pg_advisory_xact_lock({MIGRATION_LOCK});
    {_EMPTY}
    CREATE EXTENSION IF NOT EXISTS vector;
    """
_AFTER: Final = f"""
    SET LOCAL search_path = public;
    {LAPSE_ALL_SQL};
    {MAKE_ANEW_SQL};
    COMMIT;
    ANALYZE;
    """


async def restore_backup(database_url: str, backup: Backup, *, replace: bool, nats_url: str | None) -> None:
    """Put a backup's catalogue in the place of what the database holds, and bring it to this version's schema.

    With ``nats_url`` the progress in NATS is forgotten; None leaves that to the caller. Raises ConfigurationError, and
    what the database raises while it is away.
    """
    backup.check()
    if backup.manifest.schema_revision not in known_revisions():
        raise ConfigurationError(
            f"The backup {backup.path} has schema {backup.manifest.schema_revision}, which this version does not know: "
            f"restore it with Triptych {backup.manifest.version} or later."
        )
    await _require_place(database_url, backup, replace=replace)
    if nats_url is not None:
        await progress_stream.require_nobody_following(nats_url)
        # First: progress can be told again at any time, and a new catalogue beside old progress would be wrong.
        await progress_stream.forget_progress(nats_url)
    await _restore(database_url, backup)
    await migrate(database_url)


async def verify_backup(backup: Backup) -> None:
    """Read a backup from end to end as a restore would. Raises ConfigurationError where it is damaged."""
    backup.check()
    process = await asyncio.create_subprocess_exec(
        *(find_program("pg_restore"), "--file=/dev/null", str(backup.dump)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise ConfigurationError(f"The backup {backup.path} cannot be restored: {last_words(said)}")


async def _require_place(database_url: str, backup: Backup, *, replace: bool) -> None:
    """Raise ConfigurationError where the database is not one to restore this backup into."""
    engine = create_bare_engine(database_url)
    try:
        async with engine.connect() as connection:
            if others := await connected_gateways(connection):
                raise ConfigurationError(
                    f"Gateways are connected to this database ({others} connections): stop every one of them first."
                )
            if strange := await strange_tables(connection):
                raise ConfigurationError(
                    f"The database holds tables that are not Triptych's ({', '.join(strange[:3])}): name another one."
                )
            if not replace and await holds_anything(connection):
                raise ConfigurationError(
                    "The database holds a catalogue that is in use: restore with --replace to give it up."
                )
            server = await server_major_version(connection)
            if server < backup.manifest.postgres_major:
                raise ConfigurationError(
                    f"The backup is of PostgreSQL {backup.manifest.postgres_major} and this is {server}: "
                    "restore it into the same version, or a later one."
                )
    finally:
        await engine.dispose()


async def _restore(database_url: str, backup: Backup) -> None:
    """Give psql the dump as statements, between those of one transaction; the last is sent only if all of it came."""
    reader = await asyncio.create_subprocess_exec(
        *(find_program("pg_restore"), "--file=-", "--no-owner", "--no-privileges", str(backup.dump)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    writer = await asyncio.create_subprocess_exec(
        *(find_program("psql"), "--no-psqlrc", "--quiet", "--no-password", "--output=/dev/null"),
        *("--variable=ON_ERROR_STOP=1", "--file=-"),
        env=connection_environment(database_url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.TaskGroup() as group:
            read = group.create_task(_read_all(reader.stderr))
            written = group.create_task(_read_all(writer.stderr))
            group.create_task(_pass_on(reader, writer))
        statuses = await reader.wait(), await writer.wait()
    finally:
        for process in (reader, writer):
            if process.returncode is None:
                process.kill()
                await process.wait()
    if statuses[1] != 0:
        raise ConfigurationError(f"PostgreSQL did not take the backup: {last_words(written.result())}")
    if statuses[0] != 0:
        raise ConfigurationError(f"The backup {backup.path} cannot be restored: {last_words(read.result())}")


async def _pass_on(reader: asyncio.subprocess.Process, writer: asyncio.subprocess.Process) -> None:
    source, sink = _given(reader.stdout), _given(writer.stdin)
    try:
        sink.write(_BEFORE.encode())
        while part := await source.read(_PART_BYTES):
            sink.write(part)
            await sink.drain()
        if await reader.wait() == 0:
            sink.write(_AFTER.encode())
        await sink.drain()
        sink.close()
        await sink.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        # It has refused a statement, and tells which by its status and its last words.
        reader.kill()


async def _read_all(stream: asyncio.StreamReader | None) -> bytes:
    return await _given(stream).read()


def _given(stream: StreamT | None) -> StreamT:
    if stream is None:
        raise RuntimeError("a process was started without the pipe that was asked for")
    return stream
