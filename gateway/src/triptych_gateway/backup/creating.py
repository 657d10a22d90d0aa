"""Makes a backup while sessions run: one snapshot of the catalogue, written aside and renamed once it is whole."""

import asyncio
import contextlib
import fcntl
import importlib.metadata
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from triptych_common.errors import ConfigurationError
from triptych_gateway.backup.contents import (
    DUMP,
    MANIFEST,
    MODELS,
    NAME_FORMAT,
    Backup,
    Counts,
    Manifest,
    list_backups,
    write_checksums,
    write_durably,
)
from triptych_gateway.backup.database_state import server_major_version
from triptych_gateway.backup.programs import connection_environment, find_program, last_words, major_version
from triptych_gateway.catalog.database import catalogue_revision, create_bare_engine
from triptych_gateway.catalog.runtime_role import SEARCH_SCHEMA

SETTINGS_TOLD: Final = (
    "TRIPTYCH_MEDIA_ROOTS",
    "TRIPTYCH_MODEL",
    "TRIPTYCH_EMBEDDER_MODEL",
    "TRIPTYCH_FACEDETECT_MODEL",
    "TRIPTYCH_DETECTION_LONG_SIDE_PIXELS",
    "TRIPTYCH_MIN_FACE_SCORE",
    "TRIPTYCH_SHARD_SIZE",
    "TRIPTYCH_WEIGHTING",
    "TRIPTYCH_WEIGHT_TRAINING",
    "TRIPTYCH_WEIGHT_FACE_DETECTION",
    "TRIPTYCH_WEIGHT_CLUSTERING",
)
"""Variables that the manifest tells of; none of them is a secret."""
_ASIDE: Final = ".partial-"
_LOCK_WAIT: Final = "60s"
_COUNTS: Final = """
    SELECT (SELECT count(*) FROM sessions) AS sessions, (SELECT count(*) FROM assets) AS photos,
        (SELECT count(*) FROM faces) AS faces, (SELECT count(*) FROM persons) AS persons,
        (SELECT count(*) FROM persons WHERE name IS NOT NULL) AS named_persons"""
_DERIVED: Final = "public.search_vectors_*"
"""Tables that the gateway makes anew out of the embeddings, and replaces while a dump would hold on to them: here where
it owns the catalogue, else in a schema of their own."""


async def create_backup(
    database_url: str,
    directory: Path,
    *,
    keep: int | None = None,
    models: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Backup:
    """Make a backup in a directory and return it; of all that are there the newest ``keep`` stay.

    ``models`` is the file of the models that were chosen. Raises ConfigurationError where it cannot be made, and what
    the database raises while it is away.
    """
    with _made_aside(directory) as aside:
        manifest = await _dump_and_describe(database_url, aside / DUMP, environment)
        backup = _finish(aside, directory, manifest, models=models)
        if keep is not None:
            _remove_all_but(directory, keep)
    return backup


@contextlib.contextmanager
def _made_aside(directory: Path) -> Iterator[Path]:
    """A directory for a backup that is not whole yet; this process is the only one that makes a backup there.

    Raises ConfigurationError where it cannot be written, or another is being made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(directory):
            for leftover in directory.glob(f"{_ASIDE}*"):
                shutil.rmtree(leftover)
            aside = directory / f"{_ASIDE}{os.getpid()}"
            aside.mkdir(mode=0o700)
            try:
                yield aside
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        if error.filename is None:
            raise
        raise ConfigurationError(f"The backup cannot be written: {error.strerror} ({error.filename}).") from error


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ConfigurationError(f"Another backup is being made in {directory}: wait for it.") from error
    finally:
        os.close(descriptor)


def _finish(aside: Path, directory: Path, manifest: Manifest, *, models: Path | None) -> Backup:
    """Write what belongs to the dump, and give the whole its name."""
    names = [DUMP, MANIFEST]
    _see_on_disk(aside / DUMP)
    write_durably(aside / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
    if models is not None and models.is_file():
        write_durably(aside / MODELS, models.read_text(encoding="utf-8"))
        names.append(MODELS)
    write_checksums(aside, names)
    _see_on_disk(aside)
    path = directory / manifest.created_at.strftime(NAME_FORMAT)
    if path.exists():
        raise ConfigurationError(f"There is a backup of this second already: {path}.")
    aside.rename(path)
    _see_on_disk(directory)
    return Backup(path=path, manifest=manifest)


def _remove_all_but(directory: Path, keep: int) -> None:
    for old in list(list_backups(directory))[:-keep]:
        shutil.rmtree(old.path)


async def _dump_and_describe(database_url: str, path: Path, environment: Mapping[str, str]) -> Manifest:
    engine = create_bare_engine(database_url)
    try:
        # What is counted here and what is dumped are one state of the database.
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            await _require_programs_of(connection)
            manifest = await _describe(connection, environment)
            snapshot: str = (await connection.execute(text("SELECT pg_export_snapshot()"))).scalar_one()
            await _dump(database_url, path, snapshot=snapshot)
    finally:
        await engine.dispose()
    return manifest


async def _require_programs_of(connection: AsyncConnection) -> None:
    server = await server_major_version(connection)
    ours = await major_version("pg_dump")
    if ours < server:
        raise ConfigurationError(
            f"pg_dump {ours} cannot read a PostgreSQL {server}: install the client programs of that version."
        )


async def _describe(connection: AsyncConnection, environment: Mapping[str, str]) -> Manifest:
    revision = await catalogue_revision(connection)
    if revision is None:
        raise ConfigurationError("The database that DATABASE_URL names has no catalogue in it.")
    counts = (await connection.execute(text(_COUNTS))).mappings().one()
    models = await connection.execute(text("SELECT model_id FROM search_spaces ORDER BY model_id"))
    return Manifest(
        created_at=datetime.now(UTC),
        version=importlib.metadata.version("triptych-gateway"),
        schema_revision=revision,
        postgres_major=await server_major_version(connection),
        counts=Counts.model_validate(dict(counts)),
        embedding_models=tuple(row.model_id for row in models),
        settings={name: environment[name] for name in SETTINGS_TOLD if environment.get(name)},
    )


async def _dump(database_url: str, path: Path, *, snapshot: str) -> None:
    # The extension is the database's, and may be its administrator's; who owns the tables is for where they come to.
    process = await asyncio.create_subprocess_exec(
        *(find_program("pg_dump"), "--format=custom", "--compress=gzip:1", f"--file={path}", f"--snapshot={snapshot}"),
        *("--no-owner", "--no-privileges", "--exclude-extension=*", f"--exclude-table={_DERIVED}"),
        f"--exclude-schema={SEARCH_SCHEMA}",
        *("--no-password", f"--lock-wait-timeout={_LOCK_WAIT}"),
        env=connection_environment(database_url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        umask=0o077,
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ConfigurationError(f"pg_dump could not read the catalogue: {last_words(said)}")


def _see_on_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
