"""The command `triptych samples`: writes a sample library and says what is in it and whom its pictures are from."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from triptych_gateway.cli.samples.errors import SamplesError
from triptych_gateway.cli.samples.library import MANIFEST_NAME, MAXIMUM_COUNT, SampleLibrary, write_library
from triptych_gateway.cli.stack.data_directory import DataDirectory
from triptych_gateway.cli.terminal.consoles import message_console, output_console
from triptych_gateway.cli.terminal.text import printable

DEFAULT_COUNT = 30
DEFAULT_SEED = 0


def samples(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write it: a directory that is empty or not there.")
    ],
    count: Annotated[int, typer.Option(min=1, max=MAXIMUM_COUNT, help="How many photos.")] = DEFAULT_COUNT,
    seed: Annotated[int, typer.Option(help="The same seed gives the same photos, byte for byte.")] = DEFAULT_SEED,
) -> None:
    """Write a small photo library, with faces that recur, out of pictures that installed packages carry.

    Seven people, and places and things without faces; `samples.json` in it says who is where in which photo.
    Nothing is downloaded.
    """
    _report(output_console(), _write_or_exit(directory, count=count, seed=seed))


def sample_library_in(data_directory: DataDirectory) -> Path:
    """The directory of an installation's own sample library, written now if it is not there yet.

    Raises typer.Exit (1), with the reason on standard error, where it cannot be written.
    """
    data_directory.create()
    return _write_or_exit(data_directory.samples, count=DEFAULT_COUNT, seed=DEFAULT_SEED).directory


def _write_or_exit(directory: Path, *, count: int, seed: int) -> SampleLibrary:
    messages = message_console()
    try:
        return _write_visibly(messages, directory, count=count, seed=seed)
    except SamplesError as error:
        messages.print(printable(str(error)), style="red", soft_wrap=True)
        raise typer.Exit(1) from error
    except OSError as error:
        messages.print(printable(f"the samples could not be written: {error}"), style="red", soft_wrap=True)
        raise typer.Exit(1) from error


def _write_visibly(console: Console, directory: Path, *, count: int, seed: int) -> SampleLibrary:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Photos", total=count)
        return write_library(
            directory, count=count, seed=seed, on_photo=lambda written: progress.update(task, completed=written)
        )


def _report(console: Console, library: SampleLibrary) -> None:
    size = f"{library.count} photos, {library.total_bytes / 1e6:.1f} MB, seed {library.seed}"
    place = printable(str(library.directory))
    news = f"Wrote {size} to {place}" if library.written else f"Left as it is: {place} already holds {size}"
    console.print(news, soft_wrap=True)
    if library.faces_by_person:
        people = ", ".join(f"{person} {faces}" for person, faces in library.faces_by_person.items())
        console.print(f"Faces: {sum(library.faces_by_person.values())} ({people})", soft_wrap=True)
    console.print(f"Who is where, and what each photo is made of: {MANIFEST_NAME} in it")
    console.print("Pictures, in place in the installed packages, by photos made of them:")
    for (distribution, credit), photos in library.photos_by_credit.items():
        console.print(f"  {photos:>4}  {distribution}: {credit}", soft_wrap=True)
