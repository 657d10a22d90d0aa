"""The commands `triptych models list`, `fetch`, `verify`, `export` and `use`."""

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from triptych_common.errors import ConfigurationError
from triptych_common.model_store.errors import ModelStoreError
from triptych_common.model_store.fetching import FetchOptions, fetch
from triptych_common.model_store.manifest import PhotoService
from triptych_gateway.cli.models.choice import (
    Choice,
    chosen_models,
    models_by_service,
    models_directory,
    remember_models,
    same_space,
)
from triptych_gateway.cli.models.licence_question import licences_accepted
from triptych_gateway.cli.models.readiness import hindrance
from triptych_gateway.cli.models.report import as_json, as_table, choice_lines, rows
from triptych_gateway.cli.models.selection import clip_name, pinned_entries
from triptych_gateway.cli.models.store_view import store_view
from triptych_gateway.cli.models.verification import is_good, verdict, verified
from triptych_gateway.cli.run_script import run_script
from triptych_gateway.cli.settings import PREFIX, CommandSettings
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.record import running_stack
from triptych_gateway.cli.terminal.consoles import message_console, output_console
from triptych_gateway.cli.terminal.text import printable

_SIGNAL_STATUS_BASE: Final = 128
_EXPORTER: Final = "triptych-embedder-models"

models = typer.Typer(
    name="models",
    help="Weights: which there are, fetching and checking them, and which model runs.",
    no_args_is_help=True,
)

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The data directory.")]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="`production`, or a name of `triptych models list`; repeat for more."),
]


@models.command("list")
def list_models(
    *,
    in_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    data_directory: DataDir = None,
) -> None:
    """Show weights: whether they are here, how large, under which licence, and which are in use."""
    data = DataDirectory.resolve(data_directory)
    models_dir = models_directory(data, os.environ)
    with _told():
        choices = chosen_models(data, os.environ)
        found = rows(models_dir, choices)
    console = output_console()
    if in_json:
        console.print(Text(as_json(models_dir, found, choices)), soft_wrap=True)
        return
    console.print(as_table(found))
    console.print()
    for line in choice_lines(choices):
        console.print(line, soft_wrap=True)
    console.print(f"Weights are kept in {printable(str(models_dir))}", soft_wrap=True, style="bright_black")


@models.command("fetch")
def fetch_models(
    names: Names = None,
    *,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read the licences, and they fit your use.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="A directory that has the files; then nothing is downloaded."),
    ] = None,
    data_directory: DataDir = None,
) -> None:
    """Fetch weights. What was interrupted goes on where it stopped; what is here already is checked and left."""
    data = DataDirectory.resolve(data_directory)
    models_dir = models_directory(data, os.environ)
    if source is not None and not source.is_dir():
        raise typer.BadParameter(f"{source} is not a directory", param_hint="--from")
    mirror = CommandSettings.of(os.environ).models_mirror or None
    with _told():
        entries = pinned_entries(names or [])
        # Before hundreds of megabytes of the first come, and the second is refused.
        accepted = accept_licence or licences_accepted(entries, models_dir)
        options = FetchOptions(offline=source, mirror=mirror, licence_accepted=accepted)
        if models_dir == data.models:
            # With the rights that it is to have, should this be the first command on this machine.
            data.create()
        for entry in entries:
            with store_view(message_console()) as view:
                brought = fetch(entry, models_dir, options, view)
            news = "fetched" if brought else "here already, and whole"
            output_console().print(printable(f"{entry.name}: {news}"), soft_wrap=True)


@models.command("verify")
def verify_models(
    names: Names = None,
    *,
    in_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, last on standard output.")] = False,
    data_directory: DataDir = None,
) -> None:
    """Read weights whole and compare them with what is pinned; all that are here, unless some are named.

    Exits with 1 where some are not as they should be.
    """
    models_dir = models_directory(DataDirectory.resolve(data_directory), os.environ)
    with _told(), store_view(message_console()) as view:
        findings = verified(names or [], models_dir, view)
    console = output_console()
    if in_json:
        listed = [
            {"name": finding.name, "state": str(finding.state), "problems": list(finding.problems)}
            for finding in findings
        ]
        console.print(Text(json.dumps({"models_directory": str(models_dir), "models": listed})), soft_wrap=True)
    elif findings:
        console.print(Text("\n".join(map(verdict, findings))), soft_wrap=True)
    else:
        console.print(f"There are no weights in {printable(str(models_dir))}", soft_wrap=True)
    raise typer.Exit(0 if all(map(is_good, findings)) else 1)


@models.command("export")
def export_model(
    model: Annotated[
        str, typer.Argument(metavar="NAME/TAG", help="CLIP weights that are here, `production`, or local-dir:/path.")
    ],
    *,
    force: Annotated[bool, typer.Option("--force", help="Export anew what is exported already.")] = False,
    data_directory: DataDir = None,
) -> None:
    """Turn CLIP weights into ONNX once, checked against PyTorch, so that they run without PyTorch."""
    models_dir = models_directory(DataDirectory.resolve(data_directory), os.environ)
    arguments = ["export", "--model", clip_name(model), "--models-dir", str(models_dir)]
    with _told():
        status = run_script(_EXPORTER, *arguments, *(["--force"] if force else []))
    raise typer.Exit(status)


@models.command("use")
def use_models(
    chosen: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="`bundled`, `production`, BACKEND:NAME (insightface:antelopev2), or SERVICE=MODEL for one service.",
        ),
    ],
    *,
    data_directory: DataDir = None,
) -> None:
    """Choose what the services run from their next start. Refuses a model whose weights are not here and whole."""
    data = DataDirectory.resolve(data_directory)
    models_dir = models_directory(data, os.environ)
    try:
        wanted = models_by_service(chosen)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="MODEL") from error
    with _told():
        before = _models_before(data)
        with store_view(message_console()) as view:
            hindrances = [
                problem
                for service, model in wanted.items()
                if (problem := hindrance(service, model, models_dir, listener=view)) is not None
            ]
        if hindrances:
            raise StackError("\n".join(dict.fromkeys(hindrances)))
        remember_models(data, wanted)
        after = chosen_models(data, os.environ)
        is_running = running_stack(data) is not None
    _tell_of_choice(before, after, wanted, is_running=is_running)


def _models_before(data: DataDirectory) -> dict[PhotoService, str]:
    try:
        return {service: choice.model for service, choice in chosen_models(data, os.environ).items()}
    except StackError:
        # A damaged file is what this command repairs.
        return {}


def _tell_of_choice(
    before: Mapping[PhotoService, str],
    after: Mapping[PhotoService, Choice],
    wanted: Mapping[PhotoService, str],
    *,
    is_running: bool,
) -> None:
    console, messages = output_console(), message_console()
    for line in choice_lines(after):
        console.print(line, soft_wrap=True)
    for service in wanted:
        if after[service].by.startswith(PREFIX):
            news = f"{after[service].by} is set here, and for the {service} it wins over this choice."
            messages.print(news, soft_wrap=True, style="yellow")
    if not all(same_space(service, model, after[service].model) for service, model in before.items()):
        messages.print(
            "Another model has a space of its own: its vectors are never compared with the earlier one's. Sessions"
            " keep their results until `triptych restart ID training --all` embeds and searches their photos anew.",
            soft_wrap=True,
        )
    if is_running:
        messages.print("Triptych is running: this holds from its next start.", soft_wrap=True)


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong with weights is one sentence, as with everything else; a signal ends what is open in order."""
    earlier = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    except (ModelStoreError, ConfigurationError) as error:
        raise StackError(str(error)) from error
    except OSError as error:
        raise StackError(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.") from error
    except KeyboardInterrupt:
        sys.exit(_SIGNAL_STATUS_BASE + signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _end(number: int, _frame: object) -> None:
    sys.exit(_SIGNAL_STATUS_BASE + number)
