"""The command triptych-gateway-backup: backups of the catalogue that DATABASE_URL names."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final, NoReturn

from triptych_common.errors import ConfigurationError
from triptych_gateway.backup.contents import Backup, list_backups, read_backup
from triptych_gateway.backup.creating import create_backup
from triptych_gateway.backup.restoring import restore_backup, verify_backup
from triptych_gateway.database_commands import database_settings, run_to_exit

_PURPOSE: Final = "of the catalogue"
NOT_IN_IT: Final = (
    "Not in it: photos, weights and thumbnails; search tables are made anew, and progress is announced again."
)


def main() -> NoReturn:
    """Entry point of the console script; exit status 78 with one sentence where it cannot be done."""
    run_to_exit(_run(parser().parse_args()))


def parser() -> argparse.ArgumentParser:
    """What the command may be told."""
    arguments = argparse.ArgumentParser(
        prog="triptych-gateway-backup", description="Backups of the catalogue that DATABASE_URL names."
    )
    commands = arguments.add_subparsers(dest="command", required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="Make a backup in a directory; sessions go on meanwhile")
    create.add_argument("directory", type=Path)
    create.add_argument("--keep", type=_count, help="How many stay there, this one among them; otherwise all")
    create.add_argument("--models-file", type=Path, help="File of the models that were chosen")
    listing = commands.add_parser("list", help="The backups in a directory")
    listing.add_argument("directory", type=Path)
    listing.add_argument("--json", action="store_true", help="As one JSON object")
    verify = commands.add_parser("verify", help="Read a backup from end to end")
    verify.add_argument("backup", type=Path)
    restore = commands.add_parser("restore", help="Put a backup in the place of the catalogue, and forget progress")
    restore.add_argument("backup", type=Path)
    restore.add_argument("--replace", action="store_true", help="Also where the catalogue is in use")
    restore.add_argument("--keep-progress", action="store_true", help="Leave NATS to whoever calls this")
    return arguments


def _count(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(value)


async def _run(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "create":
            backup = await create_backup(
                database_settings(_PURPOSE).database_url,
                arguments.directory,
                keep=arguments.keep,
                models=arguments.models_file,
            )
            sys.stderr.write(f"Made a backup of {_contents(backup)}. {NOT_IN_IT}\n")
            sys.stdout.write(f"{backup.path}\n")
        case "list":
            _tell(arguments.directory, as_json=arguments.json)
        case "verify":
            backup = read_backup(arguments.backup)
            await verify_backup(backup)
            sys.stdout.write(f"Undamaged: {_contents(backup)}.\n")
        case _:
            await _restore(arguments)


async def _restore(arguments: argparse.Namespace) -> None:
    settings = database_settings(_PURPOSE)
    backup = read_backup(arguments.backup)
    nats_url = None if arguments.keep_progress else settings.nats_url
    await restore_backup(settings.database_url, backup, replace=arguments.replace, nats_url=nats_url)
    sys.stdout.write(f"Restored {_contents(backup)}.\n")
    for name, value in backup.manifest.settings.items():
        sys.stdout.write(f"It was made with {name}={value}\n")


def _tell(directory: Path, *, as_json: bool) -> None:
    if not directory.is_dir():
        raise ConfigurationError(f"{directory} is not a directory.")
    backups = list(list_backups(directory))
    if as_json:
        rows = [
            {"path": str(one.path), "bytes": one.size_bytes, **one.manifest.model_dump(mode="json")} for one in backups
        ]
        sys.stdout.write(json.dumps({"backups": rows}) + "\n")
        return
    for one in backups:
        sys.stdout.write(f"{one.path}  {one.size_bytes / 1e6:,.1f} MB  {_contents(one)}\n")
    if not backups:
        sys.stdout.write(f"There is no backup in {directory}.\n")


def _contents(backup: Backup) -> str:
    counts = backup.manifest.counts
    return (
        f"{counts.sessions} sessions, {counts.photos} photos, {counts.faces} faces and {counts.persons} persons "
        f"({counts.named_persons} with names), of {backup.manifest.created_at:%Y-%m-%d %H:%M:%S} UTC"
    )
