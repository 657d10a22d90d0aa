"""A backup holds the catalogue as it was, and comes back whole or not at all."""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.catalogue import FACES, MODEL, begin, detected, embedded, items_of, new_session, table
from tests.support.old_catalogue import change_revision
from tests.support.progress_events import publish
from tests.support.real_servers import PostgresServer
from tests.support.running_aggregator import running_aggregator
from tests.support.searchable import add, found, vectors_of
from triptych.v1 import progress_event_pb2, work_pb2
from triptych_common.errors import EXIT_BAD_CONFIGURATION, ConfigurationError
from triptych_common.progress.events import STREAM
from triptych_gateway.backup.contents import DUMP, MANIFEST, Backup, list_backups, read_backup, write_checksums
from triptych_gateway.backup.creating import create_backup
from triptych_gateway.backup.restoring import restore_backup, verify_backup
from triptych_gateway.catalog.database import create_bare_engine, create_engine, known_revisions
from triptych_gateway.catalog.runs import leases, results
from triptych_gateway.catalog.schema import metadata
from triptych_gateway.catalog.sessions import control
from triptych_gateway.pipeline.search_upkeep import SearchUpkeep

SCRIPT = str(Path(sys.executable).with_name("triptych-gateway-backup"))
BEFORE_TOKENS = "0010"


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection that is not taken for a gateway's."""
    engine = create_bare_engine(url)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def fill(url: str) -> int:
    """A session in the middle of face detection, run by a gateway; returns its id."""
    engine = create_engine(url)
    async with engine.begin() as connection:
        session_id = await new_session(connection, paths=[b"/photos/caf\xe9", b"/photos/b", b"/photos/c"])
        await control.start_session(connection, session_id)
        training = await begin(connection, session_id)
        outcomes = [embedded(item, 0.1) for item in await items_of(connection, training)]
        await results.write_outcomes(connection, training, outcomes, model_id=MODEL)
        detection = await begin(connection, session_id, "face_detection", model=FACES)
        outcomes = [detected(item, 0.3, 0.7) for item in (await items_of(connection, detection))[:2]]
        await results.write_outcomes(connection, detection, outcomes, model_id=FACES)
        assert await leases.claim(connection, holder="host/1/aaaaaa") is not None
    await engine.dispose()
    return session_id


async def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, but for who holds what."""
    async with connected(url) as connection:
        return {
            one.name: await table(connection, f"SELECT t.*::text FROM {one.name} t ORDER BY 1")  # noqa: S608 - own tables
            for one in metadata.sorted_tables
            if one.name != "leases"
        }


@pytest.fixture
def other_url(postgres: PostgresServer) -> Iterator[str]:
    """A second database with the present schema and nothing in it."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


async def made(url: str, folder: Path) -> Backup:
    return await create_backup(url, folder / "backups", environment={})


async def restored(url: str, backup: Backup, *, replace: bool = False) -> None:
    await restore_backup(url, backup, replace=replace, nats_url=None)


async def test_every_row_comes_back_and_numbers_go_on(
    database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    session_id = await fill(database_url)
    before = await rows(database_url)

    backup = await made(database_url, tmp_path)
    await restored(empty_database_url, backup)

    assert await rows(empty_database_url) == before
    assert backup.manifest.counts.model_dump() == {
        **{"sessions": 1, "photos": 3, "faces": 4, "persons": 0, "named_persons": 0}
    }
    async with connected(empty_database_url) as connection:
        assert await new_session(connection, paths=[b"/photos/d"]) > session_id
        taken = await leases.claim(connection, holder="host/2/bbbbbb")
    assert taken is not None, "whoever ran the session is not waited for"
    assert taken.epoch == 2


async def test_what_is_written_after_the_dump_began_is_not_in_it(
    database_url: str, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts in the manifest and the rows of the dump are one state, whatever is written meanwhile."""
    await fill(database_url)
    from triptych_gateway.backup import creating  # noqa: PLC0415 - what is slowed down here

    dump = creating._dump

    async def write_and_dump(url: str, path: Path, *, snapshot: str) -> None:
        async with connected(database_url) as connection:
            await new_session(connection, paths=[b"/photos/later"])
        await dump(url, path, snapshot=snapshot)

    monkeypatch.setattr(creating, "_dump", write_and_dump)
    backup = await made(database_url, tmp_path)
    await restored(empty_database_url, backup)

    async with connected(empty_database_url) as connection:
        assert await table(connection, "SELECT count(*) FROM assets") == [(backup.manifest.counts.photos,)] == [(3,)]


async def test_search_tables_are_left_out_and_made_anew(
    database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    vectors = vectors_of(30)
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        ids = await add(connection, vectors)
        await SearchUpkeep(engine, exact_below=10, build_memory_bytes=2**26).look(connection)
    await engine.dispose()

    await restored(empty_database_url, await made(database_url, tmp_path))

    engine = create_engine(empty_database_url)
    async with engine.connect() as connection:
        count = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'search_vectors_%'"
        async with connection.begin():
            assert await table(connection, count) == [(0,)]
        assert (await found(connection, vectors[7]))[0] == ids[7], "it is found before the table is there"
        await SearchUpkeep(engine, exact_below=10, build_memory_bytes=2**26).look(connection)
        async with connection.begin():
            assert await table(connection, count) == [(1,)]
            assert await table(connection, "SELECT photo_count, has_graph FROM search_spaces") == [(30, True)]
        assert (await found(connection, vectors[7]))[0] == ids[7]
    await engine.dispose()


async def test_an_older_schema_is_brought_to_the_present_one(
    database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    await fill(database_url)
    before = await rows(database_url)
    await change_revision(database_url, BEFORE_TOKENS)

    backup = await made(database_url, tmp_path)
    await restored(empty_database_url, backup)

    assert backup.manifest.schema_revision == BEFORE_TOKENS
    assert await rows(empty_database_url) == before
    async with connected(empty_database_url) as connection:
        assert await table(connection, "SELECT version_num FROM alembic_version") == [(max(known_revisions()),)]


def rewrite(backup: Backup, name: str, change: Callable[[bytes], bytes], *, with_checksums: bool) -> None:
    path = backup.path / name
    path.write_bytes(change(path.read_bytes()))
    if with_checksums:
        (backup.path / "SHA256SUMS").unlink()
        write_checksums(backup.path, [DUMP, MANIFEST])


def of_schema(revision: str) -> Callable[[bytes], bytes]:
    return lambda manifest: json.dumps(json.loads(manifest) | {"schema_revision": revision}).encode()


def of_postgres(major: int) -> Callable[[bytes], bytes]:
    return lambda manifest: json.dumps(json.loads(manifest) | {"postgres_major": major}).encode()


REFUSED: dict[str, tuple[Callable[[Backup], Any], str]] = {
    "a changed byte": (
        lambda one: rewrite(one, DUMP, lambda dump: dump[:-9] + b"x" + dump[-8:], with_checksums=False),
        "catalogue.dump is not what was written",
    ),
    "a changed manifest": (
        lambda one: rewrite(one, MANIFEST, of_schema("0001"), with_checksums=False),
        "manifest.json is not what was written",
    ),
    "a missing dump": (lambda one: one.dump.unlink(), "catalogue.dump cannot be read (No such file or directory)"),
    "missing checksums": (lambda one: (one.path / "SHA256SUMS").unlink(), "SHA256SUMS cannot be read"),
    "checksums of half of it": (
        lambda one: (one.path / "SHA256SUMS").write_text("0" * 64 + "  manifest.json\n"),
        "SHA256SUMS does not name catalogue.dump",
    ),
    "a file of somebody else's": (
        lambda one: (one.path / "SHA256SUMS").write_text("0" * 64 + "  ../../etc/passwd\n"),
        "SHA256SUMS names '../../etc/passwd', which no backup has",
    ),
    "a newer schema": (
        lambda one: rewrite(one, MANIFEST, of_schema("9999"), with_checksums=True),
        "has schema 9999, which this version does not know: restore it with Triptych",
    ),
    "a newer PostgreSQL": (
        lambda one: rewrite(one, MANIFEST, of_postgres(99), with_checksums=True),
        "The backup is of PostgreSQL 99",
    ),
    "a dump that ends too soon": (
        lambda one: rewrite(one, DUMP, lambda dump: dump[: len(dump) * 9 // 10], with_checksums=True),
        "cannot be restored: ",
    ),
    "a dump that is none": (
        lambda one: rewrite(one, DUMP, lambda _: b"nothing", with_checksums=True),
        "cannot be restored: ",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_restored_leaves_what_is_there(
    what: str, database_url: str, other_url: str, tmp_path: Path
) -> None:
    spoil, complaint = REFUSED[what]
    await fill(database_url)
    backup = await made(database_url, tmp_path)
    async with connected(other_url) as connection:
        await new_session(connection, paths=[b"/photos/mine"])
    before = await rows(other_url)

    spoil(backup)
    with pytest.raises(ConfigurationError, match=re.escape(complaint)) as refused:
        await restored(other_url, read_backup(backup.path), replace=True)

    assert "\n" not in str(refused.value)
    assert await rows(other_url) == before


async def test_a_statement_that_is_refused_leaves_what_is_there(
    database_url: str, other_url: str, tmp_path: Path
) -> None:
    """An event trigger that forbids indexes, as an administrator may have one: all but the last part was taken."""
    await fill(database_url)
    backup = await made(database_url, tmp_path)
    async with connected(other_url) as connection:
        await new_session(connection, paths=[b"/photos/mine"])
    before = await rows(other_url)
    async with connected(other_url) as connection:
        await connection.execute(text("CREATE SCHEMA rules"))
        await connection.execute(
            text("""
                CREATE FUNCTION rules.no() RETURNS event_trigger LANGUAGE plpgsql
                AS $$ BEGIN RAISE EXCEPTION 'no index here'; END $$""")
        )
        await connection.execute(
            text("""
                CREATE EVENT TRIGGER no_index ON ddl_command_start WHEN TAG IN ('CREATE INDEX')
                EXECUTE FUNCTION rules.no()""")
        )

    with pytest.raises(ConfigurationError, match=r"PostgreSQL did not take the backup: .*no index here"):
        await restored(other_url, backup, replace=True)

    assert await rows(other_url) == before


async def test_a_catalogue_in_use_is_only_given_up_when_that_is_asked_for(
    database_url: str, other_url: str, tmp_path: Path
) -> None:
    await fill(database_url)
    backup = await made(database_url, tmp_path)
    async with connected(other_url) as connection:
        await new_session(connection, paths=[b"/photos/mine"])
        await connection.execute(text("CREATE TABLE search_vectors_1 (asset_id bigint PRIMARY KEY)"))

    with pytest.raises(ConfigurationError, match="in use: restore with --replace"):
        await restored(other_url, backup)
    await restored(other_url, backup, replace=True)

    assert await rows(other_url) == await rows(database_url)
    async with connected(other_url) as connection:
        assert await table(connection, "SELECT to_regclass('search_vectors_1') IS NULL") == [(True,)]


async def test_a_database_that_others_use_is_not_restored_into(
    database_url: str, other_url: str, tmp_path: Path
) -> None:
    backup = await made(database_url, tmp_path)
    gateway = create_engine(other_url)
    async with gateway.connect():
        with pytest.raises(ConfigurationError, match="Gateways are connected to this database"):
            await restored(other_url, backup)
    await gateway.dispose()
    async with connected(other_url) as connection:
        await connection.execute(text("CREATE TABLE invoices (id bigint)"))

    with pytest.raises(ConfigurationError, match=r"not Triptych's \(invoices\)"):
        await restored(other_url, backup, replace=True)


async def test_only_the_newest_stay_and_leftovers_go(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "backups"
    for second in range(3):
        monkeypatch.setattr("triptych_gateway.backup.creating.NAME_FORMAT", f"triptych-2026010{second}T000000Z")
        leftover = directory / ".partial-1"
        leftover.mkdir(parents=True)
        (leftover / DUMP).write_bytes(b"half")
        await create_backup(database_url, directory, keep=2, environment={})
    (directory / "triptych-holiday").mkdir()

    assert [one.path.name for one in list_backups(directory)] == [
        "triptych-20260101T000000Z",
        "triptych-20260102T000000Z",
    ]
    assert sorted(path.name for path in directory.iterdir()) == [
        *("triptych-20260101T000000Z", "triptych-20260102T000000Z", "triptych-holiday")
    ]


async def test_one_backup_is_made_at_a_time(database_url: str, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(ConfigurationError, match="Another backup is being made"):
            await create_backup(database_url, tmp_path, environment={})
    finally:
        os.close(descriptor)

    await create_backup(database_url, tmp_path, environment={})


async def test_a_backup_that_cannot_be_made_leaves_nothing(empty_database_url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no catalogue in it"):
        await create_backup(empty_database_url, tmp_path / "backups", environment={})
    assert list((tmp_path / "backups").iterdir()) == []

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="The backup cannot be written: "):
        await create_backup(empty_database_url, tmp_path / "file", environment={})


async def test_a_backup_is_for_its_owner_and_tells_of_no_secret(database_url: str, tmp_path: Path) -> None:
    models = tmp_path / "models.json"
    models.write_text('{"embedder": "production"}')
    environment = {"TRIPTYCH_SHARD_SIZE": "32", "TRIPTYCH_TOKEN": "hush", "DATABASE_URL": database_url}

    backup = await create_backup(database_url, tmp_path / "backups", models=models, environment=environment)

    assert {path.stat().st_mode & 0o777 for path in backup.path.iterdir()} == {0o600}
    assert backup.path.stat().st_mode & 0o777 == 0o700
    assert backup.manifest.settings == {"TRIPTYCH_SHARD_SIZE": "32"}
    assert (backup.path / "models.json").read_text() == models.read_text()
    told = b"".join(path.read_bytes() for path in backup.path.iterdir())
    assert b"hush" not in told
    assert re.search(rb"postgresql://", told) is None
    checking = await asyncio.create_subprocess_exec("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=backup.path)
    assert await checking.wait() == 0
    await verify_backup(read_backup(backup.path))


async def test_progress_is_forgotten_once_nobody_follows_it(
    database_url: str, empty_database_url: str, nats_url: str, tmp_path: Path
) -> None:
    backup = await made(database_url, tmp_path)
    event = progress_event_pb2.ProgressEvent(session_id=1, run=1, phase=work_pb2.PHASE_TRAINING)
    async with running_aggregator(nats_url) as running:
        await publish(nats_url, event)
        await running.until_saved()
        with pytest.raises(ConfigurationError, match="A progress service still follows NATS"):
            await restore_backup(empty_database_url, backup, replace=False, nats_url=nats_url)

    await restore_backup(empty_database_url, backup, replace=False, nats_url=nats_url)

    client = await nats.connect(nats_url)
    try:
        names = [one.config.name for one in await client.jetstream().streams_info()]
    finally:
        await client.close()
    assert STREAM not in names
    assert names == []


async def run(*arguments: str | Path, **environment: str) -> tuple[int | None, str, str]:
    """Exit status, standard output and standard error of the command."""
    process = await asyncio.create_subprocess_exec(
        *(SCRIPT, *map(str, arguments)),
        env={name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_the_command_makes_lists_verifies_and_restores(
    database_url: str, empty_database_url: str, nats_url: str, tmp_path: Path
) -> None:
    await fill(database_url)
    status, path, said = await run("create", tmp_path, "--keep", "3", DATABASE_URL=database_url)
    assert status == 0, said
    assert "Not in it: photos, weights and thumbnails" in said
    (status, listed, said), verified = await asyncio.gather(
        run("list", tmp_path, "--json"), run("verify", path.strip())
    )
    assert status == 0, said
    [row] = json.loads(listed)["backups"]
    assert (row["path"], row["counts"]["photos"]) == (path.strip(), 3)
    assert (verified[0], verified[1][:10]) == (0, "Undamaged:"), verified

    status, restored_, said = await run("restore", path.strip(), DATABASE_URL=empty_database_url, NATS_URL=nats_url)

    assert (status, restored_[:19]) == (0, "Restored 1 sessions"), said
    assert await rows(empty_database_url) == await rows(database_url)


async def test_the_command_says_in_one_sentence_what_is_missing(tmp_path: Path) -> None:
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    ends = await asyncio.gather(run("create", tmp_path), run("restore", tmp_path, **nowhere))

    assert [status for status, _, _ in ends] == [EXIT_BAD_CONFIGURATION] * 2
    assert [said.count("\n") for _, _, said in ends] == [1, 1]
    assert "DATABASE_URL is not set" in ends[0][2]
    assert "is no backup" in ends[1][2]
