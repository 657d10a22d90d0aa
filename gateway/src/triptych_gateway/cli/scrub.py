"""`triptych scrub`: what was forgotten leaves the files of PostgreSQL and NATS as well."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from triptych_gateway.cli.run_script import run_script
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.database_alone import database_alone
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.nats_server import STORE
from triptych_gateway.cli.stack.record import running_stack

_SCRIPT: Final = "triptych-gateway-scrub"


def scrub(
    data_directory: Annotated[
        Path | None, typer.Option("--data-dir", help="The data directory.  [default: as of `triptych up`]")
    ] = None,
) -> None:
    """Write the database's files anew, so that nothing that was forgotten can be read in them. No session may run."""
    raise typer.Exit(asyncio.run(_scrub(DataDirectory.resolve(data_directory))))


async def _scrub(data: DataDirectory) -> int:
    if os.environ.get("DATABASE_URL"):
        return await _run([])
    stack = running_stack(data)
    if stack is not None:
        return await _run([], DATABASE_URL=stack.database_url, NATS_URL=stack.nats_url)
    if not data.root.is_dir():
        raise StackError(f"There is no catalogue in {data.root}: name the data directory with --data-dir.")
    data.create()
    async with data.locked(), database_alone(data) as url:
        status = await _run(["--keep-progress"], DATABASE_URL=url)
        if status == 0:
            # Nobody has it open; everything in it is announced again.
            shutil.rmtree(data.nats / STORE, ignore_errors=True)
    return status


async def _run(arguments: list[str], **environment: str) -> int:
    # In a thread: the database that was started for it is looked after meanwhile.
    return await asyncio.to_thread(run_script, _SCRIPT, *arguments, environment=os.environ | environment)
