"""Runs a program to its end, within a deadline, and returns what it wrote."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.launch import bound_to_this_process
from triptych_gateway.cli.stack.unix_user import UnixUser


async def run_to_end(
    *arguments: str, environment: Mapping[str, str], deadline_seconds: float, user: UnixUser | None = None
) -> str:
    """Runs `arguments` (the first is the program's absolute path) and returns its output, both streams together.

    Raises:
        StackError: it did not end within the deadline (and was killed) or ended with a status other than 0.
    """
    process = await asyncio.create_subprocess_exec(
        *bound_to_this_process(arguments, user=user, death_signal=signal.SIGKILL),
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        cwd="/",
    )
    name = Path(arguments[0]).name
    try:
        async with asyncio.timeout(deadline_seconds):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise StackError(f"{name} did not end within {deadline_seconds:g} s.") from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    text = output.decode("utf-8", "backslashreplace")
    if process.returncode != 0:
        raise StackError(f"{name} failed with status {process.returncode}: {text.strip() or 'it said nothing'}")
    return text
