"""The real gateway process over real servers, with the worker services away: what it answers is up to it alone."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.real_servers import DEADLINE_SECONDS, wait_for
from triptych_gateway.cli.plain_http import NO_AUTHORITIES

_AWAY = "127.0.0.1:1"
"""Nobody listens there."""
_SERVING = re.compile(rb'"address": ?"(http://[^"]+)"')


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A gateway that answers."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    media: Path
    """Its only media root."""
    database_url: str

    def client(self) -> httpx.Client:
        """For requests; to be closed."""
        return httpx.Client(base_url=self.url, timeout=30, verify=NO_AUTHORITIES, trust_env=False)

    def stop(self) -> int:
        """Ask it to end (SIGTERM); returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_SECONDS)

    def create(self, client: httpx.Client, directory: Path | None = None, **more: Any) -> int:
        """Create a session over a directory (one with a photo where none is given); returns its id."""
        if directory is None:
            directory = self.media / f"one-{os.urandom(4).hex()}"
            directory.mkdir()
            (directory / "a.jpg").write_bytes(b"not looked at: nobody is there to decode it")
        body = {"name": "a session", "rootPath": str(directory), **more}
        answer = client.post("/api/v1/training/sessions", json=body)
        assert answer.status_code == 201, answer.text
        session_id: int = answer.json()["id"]
        return session_id


@contextlib.contextmanager
def running_gateway(
    *, database_url: str, nats_url: str, folder: Path, prefix: Sequence[str] = (), **settings: str
) -> Iterator[Gateway]:
    """Start ``triptych-gateway``, wait until it answers, and end it.

    ``prefix`` goes before the command, which must become it by exec(3).
    """
    media, log = folder / "media", folder / "gateway.log"
    media.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIPTYCH_")} | {
        "DATABASE_URL": database_url,
        "NATS_URL": nats_url,
        "TRIPTYCH_MEDIA_ROOTS": str(media),
        "TRIPTYCH_HTTP_PORT": "0",
        "TRIPTYCH_DATA_DIR": str(folder / "data"),
        "TRIPTYCH_MAX_CONCURRENT_SESSIONS": "100",
        **{f"TRIPTYCH_{name}_ADDRESSES": _AWAY for name in ("EMBEDDER", "FACEDETECT", "CLUSTER", "PROGRESS")},
        **settings,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*prefix, str(Path(sys.executable).with_name("triptych-gateway"))],
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        url = _until_serving(process, log)
        yield Gateway(process=process, url=url, log=log, media=media, database_url=database_url)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _until_serving(process: subprocess.Popen[bytes], log: Path) -> str:
    found: list[str] = []

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        if serving := _SERVING.search(log.read_bytes()):
            found.append(serving[1].decode())
        try:
            return bool(found) and httpx.get(f"{found[-1]}/health", verify=NO_AUTHORITIES, trust_env=False).is_success
        except httpx.TransportError:
            return False

    wait_for(answers, f"the gateway answers; its log: {log}")
    return found[-1]


def read_events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The events of a stream, each with its fields; a comment is an event with the one field ``comment``."""
    event: dict[str, str] = {}
    for line in lines:
        if not line:
            if event:
                yield event
            event = {}
        elif line.startswith(":"):
            event["comment"] = line[1:].strip()
        else:
            name, _, value = line.partition(": ")
            event[name] = value
