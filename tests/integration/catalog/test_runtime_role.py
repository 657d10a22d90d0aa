"""The role that gateways work as: what a gateway needs, and nothing about the tables."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.support.real_servers import PostgresServer, run_apart, wait_for
from tests.support.running_gateway import running_gateway
from triptych_common.errors import EXIT_BAD_CONFIGURATION, ConfigurationError
from triptych_gateway.backup.contents import Backup
from triptych_gateway.backup.creating import create_backup
from triptych_gateway.backup.restoring import restore_backup
from triptych_gateway.catalog.runtime_role import search_path_statement

SEARCH_TABLE = "search_vectors_77"


def as_role(owner_url: str, role: str = "gateways") -> str:
    parts = urlsplit(owner_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:secret@{host}"))


def migrate_by_command(owner_url: str, role_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("triptych-migrate")],
        env=os.environ | {"DATABASE_URL": role_url, "TRIPTYCH_DATABASE_OWNER_URL": owner_url},
        capture_output=True,
        text=True,
        check=False,
    )


def execute(url: str, *statements: str) -> Any:
    """The last statement's one value."""

    async def work() -> Any:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return run_apart(work())


@pytest.fixture(scope="module")
def owner_url(postgres: PostgresServer) -> Iterator[str]:
    """A catalogue of an earlier version, with a table that its owner made to search in, brought to this one."""
    name = postgres.create_database()
    url = postgres.url(name)
    execute(
        url,
        f"CREATE TABLE {SEARCH_TABLE} (asset_id bigint PRIMARY KEY)",
        """INSERT INTO search_spaces (model_id, table_number, dimension) VALUES ('m/1', 77, 3)""",
        "SELECT 1",
    )
    for _ in range(2):
        done = migrate_by_command(url, as_role(url))
        assert done.returncode == 0, done.stdout + done.stderr
    yield url
    postgres.drop_database(name)
    execute(postgres.url("postgres"), 'DROP ROLE IF EXISTS "gateways"', "SELECT 1")


@pytest.fixture
def role_url(owner_url: str) -> str:
    return as_role(owner_url)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP TABLE sessions",
        "DROP SCHEMA public CASCADE",
        "TRUNCATE sessions CASCADE",
        "ALTER TABLE sessions ADD COLUMN mine int",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "CREATE TRIGGER mine BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION audit_is_only_added_to()",
        "CREATE INDEX mine ON sessions (name)",
        "UPDATE alembic_version SET version_num = '0001'",
        "UPDATE audit SET caller = 'somebody else'",
        "DELETE FROM tokens",
        "SET session_replication_role = replica",
        "SET ROLE triptych",
        "ALTER ROLE gateways SUPERUSER",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY sessions TO PROGRAM 'cat'",
        "SELECT passwd FROM pg_shadow",
    ],
)
def test_it_may_not_change_what_is_not_rows(role_url: str, statement: str) -> None:
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError)):
        execute(role_url, statement, "SELECT 1")


def test_it_may_do_with_rows_what_a_gateway_does(role_url: str) -> None:
    assert execute(role_url, "INSERT INTO categories (name) VALUES ('a') RETURNING name") == "a"
    assert execute(role_url, "UPDATE categories SET name = 'b' WHERE name = 'a' RETURNING name") == "b"
    assert execute(role_url, "DELETE FROM categories WHERE name = 'b' RETURNING name") == "b"
    assert execute(role_url, "CREATE TEMPORARY TABLE mine AS SELECT 1 AS one", "SELECT one FROM mine") == 1


def test_tables_that_are_searched_are_its_own_and_those_of_the_owner_are_made_anew(
    owner_url: str, role_url: str
) -> None:
    assert execute(owner_url, f"SELECT to_regclass('public.{SEARCH_TABLE}')::text") is None
    assert execute(owner_url, "SELECT table_number FROM search_spaces WHERE rebuild_asked_at IS NOT NULL") is None
    execute(role_url, "CREATE TABLE search_vectors_78 (asset_id bigint)", "SELECT 1")
    assert execute(owner_url, "SELECT to_regclass('search.search_vectors_78')::text") == "search.search_vectors_78"
    execute(role_url, "DROP TABLE search_vectors_78", "SELECT 1")


def test_a_gateway_works_as_it(role_url: str, shared_nats_url: str, tmp_path: Path) -> None:
    with (
        running_gateway(database_url=role_url, nats_url=shared_nats_url, folder=tmp_path) as gateway,
        gateway.client() as client,
    ):
        session_id = gateway.create(client)
        session = f"/api/v1/training/sessions/{session_id}"
        client.post(f"{session}/start").raise_for_status()
        wait_for(lambda: client.get(session).json()["totalImages"] == 1, "discovery ends")
        client.post(f"{session}/cancel").raise_for_status()
        client.delete(session).raise_for_status()
        assert "permission denied" not in gateway.log.read_text()


def test_where_the_schema_is_older_it_says_who_must_change_it(
    postgres: PostgresServer, owner_url: str, shared_nats_url: str
) -> None:
    empty = postgres.url(postgres.create_database(migrated=False))
    said = subprocess.run(
        [Path(sys.executable).with_name("triptych-migrate")],
        env=os.environ | {"DATABASE_URL": as_role(empty)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == EXIT_BAD_CONFIGURATION
    assert "TRIPTYCH_DATABASE_OWNER_URL" in said.stdout + said.stderr


def test_a_role_that_may_everything_is_refused(postgres: PostgresServer, owner_url: str) -> None:
    execute(postgres.url("postgres"), "CREATE ROLE everything SUPERUSER LOGIN", "SELECT 1")
    try:
        said = migrate_by_command(owner_url, as_role(owner_url, "everything"))
    finally:
        execute(postgres.url("postgres"), "DROP ROLE everything", "SELECT 1")
    assert said.returncode == EXIT_BAD_CONFIGURATION
    assert "may more than a gateway needs" in said.stdout + said.stderr
    assert "secret" not in said.stdout + said.stderr


@pytest.mark.usefixtures("owner_url")
def test_after_a_restore_the_rights_are_given_again(postgres: PostgresServer, tmp_path: Path) -> None:
    name = postgres.create_database()
    url = postgres.url(name)
    assert migrate_by_command(url, as_role(url)).returncode == 0
    execute(as_role(url), "CREATE TABLE search_vectors_1 (asset_id bigint)", "SELECT 1")

    backup = run_apart(create_backup(url, tmp_path, environment={}))
    run_apart(restore_backup(url, backup, replace=True, nats_url=None))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        execute(as_role(url), "SELECT count(*) FROM sessions")
    assert migrate_by_command(url, as_role(url)).returncode == 0

    assert execute(as_role(url), "SELECT count(*) FROM sessions") == 0
    postgres.drop_database(name)


@pytest.fixture
def administered(postgres: PostgresServer) -> Iterator[tuple[str, str]]:
    """A database as an administrator hands it over: an owner who may make no roles, and a role that was made for it.

    The administrator's URL of it, and the owner's.
    """
    name = postgres.create_database(migrated=False)
    administrator = postgres.url(name)
    execute(
        administrator,
        "CREATE ROLE proprietor LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB PASSWORD 'secret'",
        "CREATE ROLE appointed LOGIN PASSWORD 'secret'",
        f"ALTER DATABASE {name} OWNER TO proprietor",
        "CREATE EXTENSION vector",
        "SELECT 1",
    )
    yield administrator, as_role(administrator, "proprietor")
    postgres.drop_database(name)
    execute(postgres.url("postgres"), "DROP ROLE proprietor", "DROP ROLE appointed", "SELECT 1")


def test_an_owner_that_may_make_no_roles_says_what_an_administrator_has_to_do(administered: tuple[str, str]) -> None:
    administrator, owner = administered
    role = as_role(administrator, "appointed")

    said = migrate_by_command(owner, role)
    assert said.returncode == EXIT_BAD_CONFIGURATION
    (statement,) = re.findall(r"run `(ALTER ROLE [^`]+)`", said.stdout + said.stderr)
    execute(administrator, statement, "SELECT 1")
    assert migrate_by_command(owner, role).returncode == 0

    execute(role, "CREATE TABLE search_vectors_1 (asset_id bigint)", "SELECT 1")
    assert execute(administrator, "SELECT to_regclass('search.search_vectors_1')::text") == "search.search_vectors_1"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        execute(role, "CREATE TABLE public.mine (id int)", "SELECT 1")


def test_such_an_owner_makes_and_restores_backups(administered: tuple[str, str], tmp_path: Path) -> None:
    administrator, owner = administered
    role = as_role(administrator, "appointed")
    database = urlsplit(administrator).path.removeprefix("/")
    execute(administrator, search_path_statement("appointed", database), "SELECT 1")
    assert migrate_by_command(owner, role).returncode == 0
    execute(role, "INSERT INTO categories (name) VALUES ('kept')", "CREATE TABLE search_vectors_1 ()", "SELECT 1")

    backup = run_apart(create_backup(owner, tmp_path, environment={}))
    execute(role, "UPDATE categories SET name = 'lost'", "SELECT 1")
    with pytest.raises(ConfigurationError, match="Gateways are connected"):
        run_apart(_restore_beside_a_gateway(role, owner, backup))
    run_apart(restore_backup(owner, backup, replace=True, nats_url=None))
    assert migrate_by_command(owner, role).returncode == 0

    assert execute(role, "SELECT name FROM categories") == "kept"


async def _restore_beside_a_gateway(role: str, owner: str, backup: Backup) -> None:
    gateway = await asyncpg.connect(role, server_settings={"application_name": "triptych"})
    try:
        await restore_backup(owner, backup, replace=True, nats_url=None)
    finally:
        await gateway.close()
