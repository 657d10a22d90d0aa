"""`triptych backup`: keep a copy of the catalogue elsewhere, and get it back."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final

import typer

from triptych_gateway.cli.run_script import run_script
from triptych_gateway.cli.stack.data_directory import DataDirectory, write_private
from triptych_gateway.cli.stack.database_alone import database_alone
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.nats_server import STORE
from triptych_gateway.cli.stack.record import running_stack

_SCRIPT: Final = "triptych-gateway-backup"
_MODELS: Final = "models.json"

backup = typer.Typer(
    name="backup", help="Backups: sessions, people's names, everything but the photos.", no_args_is_help=True
)

_DataDirectory = Annotated[
    Path | None, typer.Option("--data-dir", help="The data directory that it is of.  [default: as of `triptych up`]")
]
_Directory = Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Where backups are kept.")]
_Backup = Annotated[Path, typer.Argument(metavar="BACKUP", help="One of them: a directory named triptych-…Z.")]


@backup.command("create")
def create_backup(
    directory: _Directory,
    keep: Annotated[
        int | None, typer.Option(min=1, help="How many stay there, this one among them; otherwise all.")
    ] = None,
    data_directory: _DataDirectory = None,
) -> None:
    """Make a backup, while everything runs or while nothing does, and print its path."""
    data = DataDirectory.resolve(data_directory)
    arguments = ["create", str(directory.absolute()), "--models-file", str(data.chosen_models)]
    arguments += ["--keep", str(keep)] if keep is not None else []
    raise typer.Exit(asyncio.run(_create(data, arguments)))


@backup.command("list")
def list_backups(
    directory: _Directory,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """The backups in a directory, oldest first."""
    raise typer.Exit(run_script(_SCRIPT, "list", str(directory), *(["--json"] if as_json else [])))


@backup.command("verify")
def verify_backup(path: _Backup) -> None:
    """Read a backup from end to end, and say whether it can be restored."""
    raise typer.Exit(run_script(_SCRIPT, "verify", str(path)))


@backup.command("restore")
def restore_backup(
    path: _Backup,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Give up a catalogue that is in use.")] = False,
    data_directory: _DataDirectory = None,
) -> None:
    """Put a backup in the place of the catalogue; Triptych must not be running. Then start it."""
    raise typer.Exit(asyncio.run(_restore(DataDirectory.resolve(data_directory), path.absolute(), replace=replace)))


async def _create(data: DataDirectory, arguments: list[str]) -> int:
    if url := os.environ.get("DATABASE_URL"):
        return await _run(arguments, DATABASE_URL=url)
    stack = running_stack(data)
    if stack is not None:
        roots = os.pathsep.join(stack.media_roots)
        return await _run(arguments, DATABASE_URL=stack.database_url, TRIPTYCH_MEDIA_ROOTS=roots)
    if not data.root.is_dir():
        raise StackError(f"There is no catalogue in {data.root}: name the data directory with --data-dir.")
    data.create()
    async with data.locked(), database_alone(data) as url:
        return await _run(arguments, DATABASE_URL=url)


async def _restore(data: DataDirectory, path: Path, *, replace: bool) -> int:
    stack = running_stack(data) if data.root.is_dir() else None
    if stack is not None:
        raise StackError(f"Triptych runs on {data.root} (process {stack.process_id}): stop it first.")
    data.create()
    has_own_nats = not os.environ.get("NATS_URL")
    arguments = ["restore", str(path), *(["--replace"] if replace else [])]
    arguments += ["--keep-progress"] if has_own_nats else []
    async with data.locked(), _database(data) as url:
        # Set aside before the catalogue changes: the aggregator is told everything again, and must not go on from here.
        aside = _set_aside(data.nats / STORE) if has_own_nats else None
        status = await _run(arguments, DATABASE_URL=url)
        if status == 0:
            _take_models(path / _MODELS, data)
        if aside is not None and status == 0:
            shutil.rmtree(aside)
        elif aside is not None:
            aside.rename(data.nats / STORE)
    return status


@contextlib.asynccontextmanager
async def _database(data: DataDirectory) -> AsyncIterator[str]:
    if url := os.environ.get("DATABASE_URL"):
        yield url
        return
    async with database_alone(data) as url:
        yield url


def _set_aside(store: Path) -> Path | None:
    """Give the store of the NATS server another name; None where there is none."""
    aside = store.with_name(f"{store.name}.replaced")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        return store.rename(aside)
    except FileNotFoundError:
        return None


def _take_models(remembered: Path, data: DataDirectory) -> None:
    """Choose the models that had been chosen when the backup was made."""
    if remembered.is_file():
        write_private(data.chosen_models, remembered.read_text(encoding="utf-8"))
        typer.echo("The models that had been chosen are chosen again; `triptych doctor` tells whether they are here.")


async def _run(arguments: list[str], **environment: str) -> int:
    # In a thread: the database that was started for it is looked after meanwhile.
    return await asyncio.to_thread(run_script, _SCRIPT, *arguments, environment=os.environ | environment)
