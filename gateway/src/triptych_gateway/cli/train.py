"""`triptych train`: trains on a directory of photos and shows how far it is."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import typer

from triptych_gateway.cli.options import gateway_url
from triptych_gateway.cli.places import absolute, name_of, place
from triptych_gateway.cli.rest.client import DEFAULT_URL
from triptych_gateway.cli.samples.command import sample_library_in
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.stack import Stack, StackOptions
from triptych_gateway.cli.terminal.text import printable
from triptych_gateway.cli.training_run import RunningStack, TrainingRun, TrainRequest

DEFAULT_PORT = 8000


def train(
    directory: Annotated[
        str | None,
        typer.Argument(help="The directory of photos, or s3://bucket/prefix, with all that is below it."),
    ] = None,
    *,
    use_samples: Annotated[
        bool, typer.Option("--samples", help="Train on the sample library, made in the data directory on first use.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the session; the directory's name by default.")] = None,
    url: Annotated[
        str,
        typer.Option(
            callback=gateway_url, help="The gateway. Where none answers at the default, this command starts services."
        ),
    ] = DEFAULT_URL,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object, last on standard output.")
    ] = False,
    keep_serving: Annotated[
        bool, typer.Option("--keep-serving", help="Leave the services of this command running until Ctrl-C.")
    ] = False,
    data_directory: Annotated[
        Path | None, typer.Option("--data-dir", help="Where services started for this command keep their data.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port for a gateway started for this command; 8000 by default.")
    ] = None,
) -> None:
    """Train on DIRECTORY: embeddings, faces, people.

    Exits with 0 when the session completed, 1 when it failed or was cancelled, 2 for a wrong path or option.

    Ctrl-C (130) leaves the session: in a running gateway it goes on, else with the next `triptych up`.
    """
    at_default = url == DEFAULT_URL
    if not at_default and (port is not None or data_directory is not None):
        raise typer.BadParameter("--data-dir and --port are for services of this command; leave them out with --url")
    address = f"http://127.0.0.1:{port}" if at_default and port is not None else url
    if (directory is None) is not use_samples:
        raise typer.BadParameter("name one DIRECTORY, or --samples")
    chosen = sample_library_in(DataDirectory.resolve(data_directory)) if directory is None else place(directory)
    there = absolute(chosen)
    request = TrainRequest(
        directory=there,
        name=name or printable(name_of(there) or str(there)),
        url=address,
        may_start_stack=at_default,
        data_directory=data_directory,
        as_json=as_json,
        keep_serving=keep_serving,
    )

    def open_stack() -> AbstractAsyncContextManager[RunningStack]:
        options = StackOptions(
            data_directory=data_directory,
            http_port=port or DEFAULT_PORT,
            media_roots=(there,),
            reload=False,
            console=False,
        )
        return Stack(options)

    raise typer.Exit(asyncio.run(TrainingRun(request, open_stack=open_stack).run()))
