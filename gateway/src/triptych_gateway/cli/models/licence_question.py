"""Asks a person whether licences fit, where there is a person to ask."""

import sys
from pathlib import Path

import typer

from triptych_common.model_store.fetching import require_licence
from triptych_common.model_store.manifest import Entry
from triptych_common.model_store.state import State, glance
from triptych_gateway.cli.models.store_view import megabytes


def licences_accepted(entries: list[Entry], models_dir: Path) -> bool:
    """Whether somebody at the terminal accepts each licence that asks for it, of what is not here yet.

    Raises LicenceNotAccepted where somebody does not, or nobody can be asked.
    """
    wanted = [entry for entry in entries if glance(entry, models_dir).state is not State.WHOLE]
    for entry in wanted:
        if entry.licence.non_commercial and not _accepted(entry):
            require_licence(entry, accepted=False)
    return bool(wanted)


def _accepted(entry: Entry) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    size = megabytes(entry.download_bytes)
    typer.echo(f"{entry.name} ({size}) is licensed as: {entry.licence.name}\n{entry.licence.url}", err=True)
    return typer.confirm("Does that fit your use, and do you accept it?", err=True)
