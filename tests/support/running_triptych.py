"""The real `triptych` command as a process: started, asked over REST, its children killed, and nothing left behind."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil

from tests.support.ports import free_port
from triptych_gateway.cli.plain_http import NO_AUTHORITIES
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.record import StackRecord, running_stack

START_SECONDS = 120.0
"""How long a whole stack may take to come up on a busy machine."""
POLL_SECONDS = 0.1
_AWAY = (httpx.TransportError,)


@dataclass(frozen=True, kw_only=True)
class Triptych:
    """A `triptych up` that runs."""

    process: subprocess.Popen[bytes]
    data: DataDirectory
    url: str
    log: Path

    def record(self) -> StackRecord:
        """Its children, addresses and URLs as they are now."""
        record = running_stack(self.data)
        if record is None:
            raise AssertionError(f"no stack runs on {self.data.root}: {self.log.read_text()[-4000:]}")
        return record

    def child(self, name: str) -> psutil.Process:
        """A child's process as it is now."""
        return psutil.Process(self.record().processes[name].process_id)

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Stop a child in its tracks (SIGSTOP) for as long as the context lasts or the child lives."""
        process = self.child(name)
        process.suspend()
        try:
            yield
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    async def connect_database(self) -> asyncpg.Connection:
        """A connection to its PostgreSQL."""
        return await asyncpg.connect(self.record().database_url)


@dataclass(kw_only=True)
class Watch:
    """What a poller saw of one session, poll by poll."""

    snapshots: list[dict[str, Any]] = field(default_factory=list)
    outages: int = 0
    """Polls that found no gateway."""

    @property
    def last(self) -> dict[str, Any]:
        """The newest snapshot."""
        return self.snapshots[-1]

    def percentages(self) -> list[float]:
        """The overall percentage at each poll."""
        return [snapshot["overallProgress"]["percentage"] for snapshot in self.snapshots]

    def statuses(self) -> list[str]:
        """The overall status at each poll."""
        return [snapshot["overallStatus"] for snapshot in self.snapshots]


class Client:
    """REST calls of one test."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=f"{url}/api/v1", verify=NO_AUTHORITIES, trust_env=False, timeout=30)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def get(self, path: str, /, **query: Any) -> Any:
        """The body of an answer; any status but 200 raises."""
        answer = await self._http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    async def post(self, path: str, **request: Any) -> httpx.Response:
        """The answer to a request, whatever its status."""
        return await self._http.post(path, **request)

    async def delete(self, path: str) -> httpx.Response:
        """The answer to a request to delete something, whatever its status."""
        return await self._http.delete(path)

    async def change(self, path: str, body: Mapping[str, Any]) -> Any:
        """What something is once it is changed (PATCH); any status but 200 raises."""
        answer = await self._http.patch(path, json=body)
        answer.raise_for_status()
        return answer.json()

    async def get_picture(self, path: str) -> bytes:
        """A picture's bytes, which must be declared to be a JPEG."""
        answer = await self._http.get(path)
        answer.raise_for_status()
        assert answer.headers["content-type"] == "image/jpeg"
        return answer.content

    async def get_all(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All items of a list."""
        items: list[dict[str, Any]] = []
        while True:
            page = await self.get(path, page=len(items) // 100 + 1, page_size=100, **query)
            items += page["items"]
            if not page["hasMore"]:
                return items

    async def begin(self, directory: Path | str, *, shard_photos: int) -> int:
        """Create and start a session; returns its id."""
        name = str(directory).rpartition("/")[2]
        body = {"name": name, "rootPath": str(directory), "config": {"batchSize": shard_photos}}
        created = await self._http.post("/training/sessions", json=body)
        created.raise_for_status()
        session_id: int = created.json()["id"]
        (await self._http.post(f"/training/sessions/{session_id}/start")).raise_for_status()
        return session_id

    async def watch(
        self, session_id: int, *, deadline_seconds: float, is_over: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[Watch]:
        """Poll the unified progress every 100 ms, through outages of the gateway, until the session has ended.

        Yields the same Watch after each answer; `is_over` ends the polling earlier. An answer that is neither 200 nor
        503 raises.
        """
        watch = Watch()
        async with asyncio.timeout(deadline_seconds):
            while not is_over():
                try:
                    answer = await self._http.get(f"/training/sessions/{session_id}/progress-unified", timeout=5)
                except _AWAY:
                    watch.outages += 1
                else:
                    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                        watch.outages += 1
                    else:
                        answer.raise_for_status()
                        watch.snapshots.append(answer.json())
                        yield watch
                        if watch.last["overallStatus"] in ("completed", "failed", "cancelled"):
                            return
                await asyncio.sleep(POLL_SECONDS)


def triptych(*arguments: str | Path) -> tuple[str, ...]:
    """The command line of `triptych` beside this Python."""
    return (str(Path(sys.executable).with_name("triptych")), *map(str, arguments))


def last_object(output: str) -> dict[str, Any]:
    """The JSON object on the last line of a command's output."""
    parsed: dict[str, Any] = json.loads(output.splitlines()[-1])
    return parsed


def clean_environment(**settings: str) -> dict[str, str]:
    """The present environment without anything that would steer Triptych, plus the settings given."""
    steering = ("TRIPTYCH_", "DATABASE_URL", "NATS_URL")
    return {key: value for key, value in os.environ.items() if not key.startswith(steering)} | settings


@contextlib.contextmanager
def working_directory() -> Iterator[Path]:
    """A directory that PostgreSQL's own user can pass through, as pytest's tmp_path cannot be; removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="triptych-test-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextlib.contextmanager
def triptych_up(
    directory: Path,
    *,
    media_roots: Sequence[Path | str],
    settings: Mapping[str, str],
    prefix: Sequence[str] = (),
    command: Sequence[str] | None = None,
    exit_status: int = 0,
) -> Iterator[Triptych]:
    """`triptych up` with its data under a directory, ready; ended in order afterwards, with nothing left running.

    `prefix` goes before the command, which must become it by exec(3); `command` stands for `triptych up`, and takes the
    same options; `exit_status` is what it is to end with.
    """
    port = free_port()
    data, log = DataDirectory(root=directory / "data"), directory / "up.log"
    roots = [part for root in media_roots for part in ("--media-root", root)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            (*prefix, *(command or triptych("up")), *map(str, ("--data-dir", data.root, "--port", port, *roots))),
            env=clean_environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    running = Triptych(process=process, data=data, url=f"http://127.0.0.1:{port}", log=log)
    try:
        wait_until(lambda: _is_healthy(running), seconds=START_SECONDS, what=lambda: log.read_text()[-4000:])
        yield running
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        status = end(process, signal.SIGTERM)
        still_there = still_alive(children)
        for child in still_there:
            child.kill()
    assert not still_there, f"left behind: {still_there}"
    assert status == exit_status, f"exit status {status}: {log.read_text()[-4000:]}"


def still_alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended."""
    alive = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


def end(process: subprocess.Popen[bytes], number: signal.Signals, *, seconds: float = 60) -> int:
    """Send a signal and return the exit status; a process that outlives the time is killed and fails the test."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def wait_until(condition: Callable[[], bool], *, seconds: float, what: Callable[[], str]) -> None:
    """Ask ten times a second until it holds; raises AssertionError, with `what` was seen, when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(POLL_SECONDS)


def _is_healthy(running: Triptych) -> bool:
    assert running.process.poll() is None, running.log.read_text()
    try:
        answer = httpx.get(f"{running.url}/health", verify=NO_AUTHORITIES, trust_env=False, timeout=5)
    except httpx.TransportError:
        return False
    services = answer.json()["services"] if answer.status_code == httpx.codes.OK else {}
    return bool(services) and all(service["status"] == "ok" for service in services.values())
