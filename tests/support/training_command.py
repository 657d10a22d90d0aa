"""Commands of `triptych` that are waited for, and `triptych train` under way."""

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.running_triptych import (
    POLL_SECONDS,
    Client,
    Watch,
    clean_environment,
    end,
    last_object,
    triptych,
)

TRAIN_SECONDS = 150


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that has ended."""

    status: int
    output: str
    errors: str

    def report(self) -> dict[str, Any]:
        """The JSON object on the last line of its output."""
        return last_object(self.output)


def run_to_end(*arguments: str | Path, seconds: float = TRAIN_SECONDS) -> Finished:
    """Run a command to its end."""
    done = subprocess.run(
        triptych(*arguments), env=clean_environment(), capture_output=True, text=True, timeout=seconds, check=False
    )
    return Finished(status=done.returncode, output=done.stdout, errors=done.stderr)


@contextlib.contextmanager
def training(directory: Path, *, data: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`triptych train --json` under way; its output goes to files beside the data."""
    with data.with_suffix(".out").open("wb") as output, data.with_suffix(".err").open("wb") as errors:
        process = subprocess.Popen(
            triptych("train", directory, "--json", "--data-dir", data, "--port", str(port)),
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
    try:
        yield process
    finally:
        end(process, signal.SIGTERM)


def finished(status: int, data: Path) -> Finished:
    """What such a command left beside its data."""
    return Finished(
        status=status, output=data.with_suffix(".out").read_text(), errors=data.with_suffix(".err").read_text()
    )


async def follow_first_session(url: str, process: subprocess.Popen[bytes]) -> AsyncGenerator[Watch, None]:
    """Poll the progress of the first session from the moment it is there until it ends or the command does."""
    async with contextlib.aclosing(Client(url)) as client:
        while not (sessions := await _sessions(client)):
            assert process.poll() is None, "the command ended before it had made a session"
            await asyncio.sleep(POLL_SECONDS)
        async for watch in client.watch(
            sessions[0]["id"], deadline_seconds=TRAIN_SECONDS, is_over=lambda: process.poll() is not None
        ):
            yield watch


async def _sessions(client: Client) -> list[dict[str, Any]]:
    try:
        return await client.get_all("/training/sessions")
    except httpx.TransportError:
        return []
