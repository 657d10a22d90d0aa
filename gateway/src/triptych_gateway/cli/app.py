"""The `triptych` command."""

import sys

import typer

from triptych_gateway.cli.audit import audit
from triptych_gateway.cli.backup import backup
from triptych_gateway.cli.buttons import cancel, pause, restart, resume
from triptych_gateway.cli.diagnose.command import diagnose
from triptych_gateway.cli.doctor import doctor
from triptych_gateway.cli.forget import forget
from triptych_gateway.cli.models.commands import models
from triptych_gateway.cli.people import people
from triptych_gateway.cli.samples.command import samples
from triptych_gateway.cli.scrub import scrub
from triptych_gateway.cli.search import app as search
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.status import status
from triptych_gateway.cli.token import tokens
from triptych_gateway.cli.train import train
from triptych_gateway.cli.up import up

app = typer.Typer(
    name="triptych",
    help="Train on a photo library: embeddings, faces, people.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_COMMANDS = (
    *(up, train, status, pause, resume, cancel, restart),
    *(people, forget, scrub, samples, audit, doctor, diagnose),
)
for command in _COMMANDS:
    app.command()(command)
app.add_typer(models)
app.add_typer(tokens)
app.add_typer(backup)
app.add_typer(search, name="search")


def main() -> None:
    """The console script; an error that a person can act on is one sentence on standard error and status 1."""
    try:
        app()
    except StackError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
