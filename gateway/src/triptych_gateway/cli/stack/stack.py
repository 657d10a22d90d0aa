"""The whole of Triptych on one machine: embedded servers, services and gateway, started and stopped in order."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from triptych_gateway.cli.models.choice import chosen_models, models_directory
from triptych_gateway.cli.places import Place, absolute, expanded, may_be_listed, may_be_there
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.external_servers import require_nats, require_postgres
from triptych_gateway.cli.stack.leftovers import end_processes, processes_of
from triptych_gateway.cli.stack.log_sink import LogSink
from triptych_gateway.cli.stack.nats_server import EmbeddedNats
from triptych_gateway.cli.stack.one_shot import run_to_end
from triptych_gateway.cli.stack.ports import choose_ports, require_free
from triptych_gateway.cli.stack.postgres import EmbeddedPostgres
from triptych_gateway.cli.stack.record import ProcessRecord, StackRecord
from triptych_gateway.cli.stack.reload import changed_services
from triptych_gateway.cli.stack.services import (
    GATEWAY,
    GRPC_SERVICES,
    MIGRATE,
    SERVICE_HOST,
    ServiceEnvironment,
    console_scripts,
    service_plan,
)
from triptych_gateway.cli.stack.supervisor import Child, ChildPlan

_LEFTOVER_SIGNALS = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))
_POSTGRES = "postgres"
_RECORD_RETRY_SECONDS = 2.0
# A migration of a large catalogue rewrites tables.
_MIGRATE_DEADLINE_SECONDS = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """How to run a stack."""

    data_directory: Path | None = None
    """None: where `DataDirectory.resolve` says."""
    http_host: str = "127.0.0.1"
    http_port: int = 8000
    """0 chooses a free one."""
    media_roots: tuple[Place, ...] = ()
    """Places whose photos may be read; the data directory's `samples` always may."""
    reload: bool = False
    """Restart a service when its Python files change."""
    console: bool = True
    """Show the log on standard error besides writing it to files."""


@dataclass(frozen=True, kw_only=True)
class StackUrls:
    """Where a running stack is reached. `nats` and `database` hold passwords: never print them."""

    http: str
    nats: str
    database: str
    services: Mapping[str, str]
    """host:port of each gRPC service, by name."""


@dataclass(frozen=True, kw_only=True)
class _Database:
    """The same one, as different roles. Both hold passwords."""

    owner_url: str
    gateway_url: str


class Stack:
    """Used as `async with Stack(options) as stack:`; inside, everything answers. One task enters and leaves it.

    Entering raises StackError when something cannot run; what had been started by then has been stopped again.
    """

    def __init__(
        self,
        options: StackOptions,
        *,
        programs: Mapping[str, tuple[str, ...]] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`programs` gives the command line of each service by name; by default their console scripts."""
        self._options = options
        self._programs = programs
        self._environment = environment
        self.data_directory = DataDirectory.resolve(options.data_directory, environment)
        self._exits = AsyncExitStack()
        self._group = asyncio.TaskGroup()
        self._sink: LogSink | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._recording: asyncio.Task[None] | None = None
        self._stages: list[list[Child]] = []
        self._processes: dict[str, ProcessRecord] = {}
        self._urls: StackUrls | None = None
        # A new one for each life: nobody outside of this stack needs it for longer.
        self._service_token = environment.get("TRIPTYCH_SERVICE_TOKEN") or secrets.token_urlsafe(32)
        self._stopping = asyncio.Event()
        self._failure: StackError | None = None

    @property
    def urls(self) -> StackUrls:
        """Where it is reached; known once it has been entered."""
        if self._urls is None:
            raise RuntimeError("the stack has not been entered")
        return self._urls

    @property
    def media_roots(self) -> tuple[Place, ...]:
        """The places whose photos may be read, without repetition."""
        chosen = (*self._options.media_roots, self.data_directory.samples)
        return tuple(dict.fromkeys(absolute(expanded(one)) for one in chosen))

    @property
    def failure(self) -> StackError | None:
        """Why the stack gave up; None when it did not."""
        return self._failure

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, traceback)

    async def wait(self) -> int:
        """Waits until `request_stop` (returns 0) or until a child is given up (returns 1, `failure` says why)."""
        await self._stopping.wait()
        return 0 if self._failure is None else 1

    def request_stop(self) -> None:
        """Makes `wait` return, or entering break off with StackError; the stop itself is leaving the context."""
        self._stopping.set()

    def kill(self) -> None:
        """Ends every process at once; the context must still be left."""
        self._stopping.set()
        for child in self._children:
            child.kill()

    @property
    def _children(self) -> list[Child]:
        return [child for stage in self._stages for child in stage]

    async def _enter(self) -> None:
        options = self._options
        self._require_media_roots()
        self.data_directory.create()
        await self._exits.enter_async_context(self.data_directory.locked())
        self._sink = LogSink(self.data_directory.logs, console=sys.stderr if options.console else None)
        self._exits.callback(self._sink.close)
        await self._end_leftovers(self._sink)
        if options.http_port:
            require_free(options.http_host, options.http_port)
        http_port, nats_port, *ports = choose_ports(SERVICE_HOST, 2 + len(GRPC_SERVICES))
        http_port = options.http_port or http_port
        programs = self._programs if self._programs is not None else console_scripts()
        servers, nats_url, nats_urls, database = await self._servers(self._sink, nats_port)
        addresses = {name: f"{SERVICE_HOST}:{port}" for name, port in zip(GRPC_SERVICES, ports, strict=True)}
        self._urls = StackUrls(
            http=f"http://{options.http_host}:{http_port}",
            nats=nats_url,
            database=database.owner_url,
            services=addresses,
        )
        models = chosen_models(self.data_directory, self._environment)
        environment = ServiceEnvironment(
            nats_urls=nats_urls,
            service_token=self._service_token,
            database_url=database.gateway_url,
            data_directory=self.data_directory.root,
            media_roots=self.media_roots,
            addresses=addresses,
            http_host=options.http_host,
            http_port=http_port,
            models_directory=models_directory(self.data_directory, self._environment),
            inherited=self._environment,
            models={service: choice.model for service, choice in models.items()},
        )
        await self._group.__aenter__()
        self._exits.push_async_exit(self._leave_group)
        await self._start_stage(servers)
        if database.gateway_url != database.owner_url:
            await self._provide_role(programs[MIGRATE], database)
        await self._start_stage([service_plan(name, programs[name], environment) for name in GRPC_SERVICES])
        await self._start_stage([service_plan(GATEWAY, programs[GATEWAY], environment)])
        if options.reload:
            self._reloading = self._group.create_task(self._reload(), name="restart services whose files change")

    def _require_media_roots(self) -> None:
        for root in self._options.media_roots:
            if not may_be_there(expanded(root)):
                raise StackError(f"The media root {root} is not a directory.")
            if not may_be_listed(root):
                raise StackError(
                    f"The media root {root} has a `{os.pathsep}` in its name, which separates media roots."
                )

    async def _end_leftovers(self, sink: LogSink) -> None:
        earlier = StackRecord.read(self.data_directory.record)
        if earlier is None:
            return
        # PostgreSQL's own are found by the directory they work in, and end by other signals.
        records = [record for name, record in earlier.processes.items() if name != _POSTGRES]
        await end_processes(processes_of(records), signals=_LEFTOVER_SIGNALS, say=sink.say)

    async def _servers(
        self, sink: LogSink, nats_port: int
    ) -> tuple[list[ChildPlan], str, Mapping[str, str], _Database]:
        """The plans of the servers that are to be embedded; the URL of NATS, that of each process, the database's."""
        plans: list[ChildPlan] = []
        database_url = self._environment.get("DATABASE_URL", "")
        nats_url = self._environment.get("NATS_URL", "")
        if database_url:
            await require_postgres(database_url)
            database = _Database(owner_url=database_url, gateway_url=database_url)
        else:
            postgres = await EmbeddedPostgres.install(self.data_directory, sink.say)
            self._exits.callback(postgres.remove_temporary_socket_directory)
            database = _Database(owner_url=postgres.url, gateway_url=postgres.gateway_url)
            plans.append(postgres.plan())
        if nats_url:
            await require_nats(nats_url)
            nats_urls = dict.fromkeys((*GRPC_SERVICES, GATEWAY), nats_url)
        else:
            nats = EmbeddedNats(self.data_directory, port=nats_port)
            nats_url, nats_urls = nats.url, nats.urls
            plans.append(nats.plan())
        return plans, nats_url, nats_urls, database

    async def _provide_role(self, program: tuple[str, ...], database: _Database) -> None:
        """Bring the catalogue to this version, and make the role that the gateway works as."""
        await run_to_end(
            *program,
            environment={
                **self._environment,
                "DATABASE_URL": database.gateway_url,
                "TRIPTYCH_DATABASE_OWNER_URL": database.owner_url,
            },
            deadline_seconds=_MIGRATE_DEADLINE_SECONDS,
        )

    async def _start_stage(self, plans: list[ChildPlan]) -> None:
        if self._sink is None:
            raise RuntimeError("the stack has not been entered")
        children = [Child(plan, self._sink, on_started=self._remember, on_hopeless=self._give_up) for plan in plans]
        self._stages.append(children)
        for child in children:
            child.start_in(self._group)
        async with asyncio.TaskGroup() as waiting:
            stopped = waiting.create_task(self._stopping.wait())
            ready = waiting.create_task(_all_ready(children))
            await asyncio.wait((ready, stopped), return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            stopped.cancel()
        if self._failure is not None:
            raise self._failure
        if self._stopping.is_set():
            raise StackError("Stopped before everything had started.")

    def _remember(self, child: Child) -> None:
        if child.process_id is not None:
            try:
                created_at_seconds = psutil.Process(child.process_id).create_time()
            except psutil.NoSuchProcess:
                return
            self._processes[child.name] = ProcessRecord(
                process_id=child.process_id, created_at_seconds=created_at_seconds
            )
        if self._recording is None or self._recording.done():
            problem = self._write_record()
            if problem is not None and self._sink is not None:
                # What runs goes on, also on a full disk.
                self._sink.say(f"{problem}: trying again until it is.")
                self._recording = self._group.create_task(self._record(), name="write the record")

    def _write_record(self) -> str | None:
        """Writes who runs; returns why it could not be written."""
        record = StackRecord(
            process_id=os.getpid(),
            http_url=self.urls.http,
            nats_url=self.urls.nats,
            database_url=self.urls.database,
            addresses=self.urls.services,
            service_token=self._service_token,
            media_roots=tuple(map(str, self.media_roots)),
            processes=self._processes,
        )
        try:
            record.write(self.data_directory.record)
        except OSError as error:
            return f"{self.data_directory.record} cannot be written ({error.strerror})"
        return None

    async def _record(self) -> None:
        """Tries to write who runs until it has been written."""
        while self._write_record() is not None:  # noqa: ASYNC110 - a disk does not tell when it has room
            await asyncio.sleep(_RECORD_RETRY_SECONDS)

    def _give_up(self, error: StackError) -> None:
        if self._failure is None:
            self._failure = error
        self._stopping.set()

    async def _leave_group(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops the children, then waits for the group's tasks; what the caller raised stays unwrapped."""
        try:
            await self._stop_all()
        finally:
            cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
            await self._group.__aexit__(*((kind, error, traceback) if cancelled else (None, None, None)))

    async def _stop_all(self) -> None:
        self._stopping.set()
        for task in (self._reloading, self._recording):
            if task is not None:
                task.cancel()
        try:
            for stage in reversed(self._stages):
                await asyncio.gather(*(child.stop() for child in stage))
        finally:
            if not any(child.process_id for child in self._children):
                self.data_directory.record.unlink(missing_ok=True)

    async def _reload(self) -> None:
        by_name = {child.name: child for child in self._children}
        async for names in changed_services(self._stopping):
            if self._sink is not None:
                self._sink.say(f"Files have changed: restarting {', '.join(sorted(names))}.")
            await asyncio.gather(*(by_name[name].restart() for name in names))


async def _all_ready(children: list[Child]) -> bool:
    await asyncio.gather(*(child.wait_until_ready() for child in children))
    return True
