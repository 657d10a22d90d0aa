"""The command `triptych diagnose`."""

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from triptych_gateway.cli.diagnose.bundle import write_bundle
from triptych_gateway.cli.diagnose.collecting import Collected, Subject, collect
from triptych_gateway.cli.diagnose.redaction import Redactor
from triptych_gateway.cli.options import DEFAULT_URL, GatewayUrl
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.terminal.text import printable


def diagnose(
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="The file to write.  [default: triptych-diagnosis-…Z.zip, here]"),
    ] = None,
    *,
    with_names: Annotated[
        bool, typer.Option("--with-names", help="Keep paths and names of photos; secrets never stay.")
    ] = False,
    data_directory: Annotated[
        Path | None, typer.Option("--data-dir", help="The data directory to look at.  [default: as of `triptych up`]")
    ] = None,
    url: GatewayUrl = DEFAULT_URL,
) -> None:
    """Collect what is needed to find out what is wrong into one file, without secrets, photos or faces.

    Works while parts of Triptych are down, or all of it, and says which. Prints the file's path.
    """
    moment = datetime.now(tz=UTC)
    path = output if output is not None else Path(f"triptych-diagnosis-{moment:%Y%m%dT%H%M%SZ}.zip")
    subject = Subject.of(DataDirectory.resolve(data_directory), os.environ, url)
    collected, redactor = asyncio.run(_collect(subject, with_names=with_names))
    try:
        write_bundle(path, collected, redactor, moment=moment, with_names=with_names)
    except OSError as error:
        raise StackError(f"{path} cannot be written: {error.strerror}. Name another with --output.") from error
    for part, reason in collected.missing.items():
        typer.echo(f"Not in it: {part}: {printable(redactor.text(reason))}", err=True)
    typer.echo("Read it before you pass it on: what is private should not be in it, and only you can tell.", err=True)
    typer.echo(str(path))


async def _collect(subject: Subject, *, with_names: bool) -> tuple[Collected, Redactor]:
    redactor = Redactor(
        known_secrets=subject.secrets(),
        places=_places(subject.data, subject.environment),
        media_roots=await subject.media_roots(),
        with_names=with_names,
    )
    return await collect(subject), redactor


def _places(data: DataDirectory, environment: Mapping[str, str]) -> dict[str, str]:
    """What tells who somebody is, and what it is called instead."""
    home = environment.get("HOME", "").rstrip("/")
    return {str(data.root): "<data directory>"} | ({home: "~"} if home else {})
