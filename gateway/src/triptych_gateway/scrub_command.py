"""The command triptych-gateway-scrub: what was forgotten leaves the files of the database and of NATS too."""

import argparse
import sys
from typing import NoReturn

from triptych_gateway.database_commands import database_settings, run_to_exit
from triptych_gateway.scrubbing.scrub import scrub

LEFT: str = (
    "Not reached: backups, archived files of the log, standbys, snapshots of disks, and logs of processes; see "
    "docs/privacy.md."
)


def main() -> NoReturn:
    """Entry point of the console script; exit status 78 with one sentence where it cannot be done."""
    run_to_exit(_run(_parser().parse_args()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="triptych-gateway-scrub",
        description="Writes the files of the database that DATABASE_URL names anew, and forgets what NATS has, so that"
        " what was removed cannot be read in them. As a role that owns the tables and may renew the write-ahead log.",
    )
    parser.add_argument("--keep-progress", action="store_true", help="Leave NATS to whoever calls this")
    return parser


async def _run(arguments: argparse.Namespace) -> None:
    settings = database_settings("to scrub")
    nats_url = None if arguments.keep_progress else settings.nats_url
    done = await scrub(settings.database_url, nats_url=nats_url)
    sys.stdout.write(f"Scrubbed: {done.tables} tables and {done.log_files} files of the write-ahead log.\n")
    sys.stderr.write(f"{LEFT}\n")
