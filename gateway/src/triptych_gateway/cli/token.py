"""`triptych token`: who may use the interface, where it asks."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from triptych_gateway.cli.run_script import run_script
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.record import running_stack

_SCRIPT = "triptych-gateway-token"

tokens = typer.Typer(name="token", help="API tokens: who may use the interface, where it asks.", no_args_is_help=True)


class Scope(StrEnum):
    """What a token allows; each holds those before it."""

    READ = "read"
    CONTROL = "control"
    ADMIN = "admin"


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        Scope,
        typer.Option(
            help="read: look; control: also create, press buttons, name and correct; admin: also delete sessions,"
            " rebuild indexes and see who had what done."
        ),
    ] = Scope.CONTROL,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Until it expires; otherwise never.")] = None,
) -> None:
    """Make a token and print it, this once."""
    _run("create", name, "--scope", scope.value, *(["--days", str(days)] if days is not None else []))


@tokens.command("list")
def list_tokens() -> None:
    """All tokens, without their secrets."""
    _run("list")


@tokens.command("revoke")
def revoke_token(token_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """End a token."""
    _run("revoke", str(token_id))


def _run(*arguments: str) -> None:
    raise typer.Exit(run_script(_SCRIPT, *arguments, environment=os.environ | {"DATABASE_URL": _database_url()}))


def _database_url() -> str:
    """The database that the environment names, or that of the Triptych that runs here."""
    if url := os.environ.get("DATABASE_URL", ""):
        return url
    stack = running_stack(DataDirectory.resolve(None))
    if stack is None:
        raise StackError("Tokens are in the database: start Triptych with `triptych up`, or set DATABASE_URL.")
    return stack.database_url
