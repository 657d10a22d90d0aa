"""`triptych search status` and `triptych search rebuild`: the index that searches use."""

import asyncio
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from triptych_gateway.cli.gateway_command import until_interrupted
from triptych_gateway.cli.options import DEFAULT_URL, GatewayUrl
from triptych_gateway.cli.rest.answers import SearchIndex, SearchSpace
from triptych_gateway.cli.rest.client import GatewayClient
from triptych_gateway.cli.terminal import wording
from triptych_gateway.cli.terminal.consoles import message_console, output_console
from triptych_gateway.cli.terminal.text import printable

app = typer.Typer(help="The index that searches use.", no_args_is_help=True)

_ASK_EVERY_SECONDS: Final = 0.5
_STAGES: Final = {"waiting": "waits for a gateway", "copying": "copying", "linking": "building the graph"}


@app.command()
def status(url: GatewayUrl = DEFAULT_URL) -> None:
    """Show how the embeddings of each model are searched."""
    raise typer.Exit(asyncio.run(until_interrupted(_show(url))))


@app.command()
def rebuild(
    url: GatewayUrl = DEFAULT_URL,
    model: Annotated[str | None, typer.Option("--model", help="Only of this model; else of all.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until it is built, and show how far it is.")
    ] = True,
) -> None:
    """Build the index anew, beside the one that is used until then; Ctrl-C leaves the gateway at it."""
    raise typer.Exit(asyncio.run(until_interrupted(_rebuild(url, model, wait=wait))))


async def _show(url: str) -> int:
    async with GatewayClient(url) as client:
        index = await client.search_index()
    if index.spaces:
        output_console().print(index_table(index))
    else:
        output_console().print("No photo has an embedding yet: `triptych train DIRECTORY` begins.", soft_wrap=True)
    return 0


async def _rebuild(url: str, model: str | None, *, wait: bool) -> int:
    async with GatewayClient(url) as client:
        before = {space.model: space.built_at for space in (await client.search_index()).spaces}
        index = await client.rebuild_search_index(model)
        asked = {space.model for space in index.spaces if model in (None, space.model)}
        if wait:
            await _until_built(client, asked, before)
            index = await client.search_index()
    output_console().print(index_table(index))
    return 0


async def _until_built(client: GatewayClient, asked: set[str], before: dict[str, str | None]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[stage]}"))
    with Progress(*columns, console=message_console()) as progress:
        tasks = {name: progress.add_task(printable(name), total=None, stage="") for name in sorted(asked)}
        while True:
            there = {space.model: space for space in (await client.search_index()).spaces}
            left = 0
            for name, task in tasks.items():
                space = there.get(name)
                # One that is gone meanwhile has nothing to build.
                is_built = space is None or (space.state == "ready" and space.built_at != before.get(name))
                left += not is_built
                if is_built or space is None:
                    progress.update(task, total=1, completed=1, stage="built")
                else:
                    progress.update(
                        task, total=space.total or None, completed=space.done, stage=_STAGES.get(space.state, "")
                    )
            if not left:
                return
            await asyncio.sleep(_ASK_EVERY_SECONDS)


def index_table(index: SearchIndex) -> Table:
    """One row for each model; the one that is searched has a sign."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bright_black")
    table.add_column("Model", overflow="fold")
    table.add_column("Photos", justify="right", no_wrap=True)
    table.add_column("Waiting", justify="right", no_wrap=True)
    table.add_column("Searched by", no_wrap=True)
    table.add_column("Size", justify="right", no_wrap=True)
    table.add_column("Built in", justify="right", no_wrap=True)
    for space in index.spaces:
        table.add_row(
            f"{'●' if space.is_active else '○'} {printable(space.model)}",
            wording.count(space.photos),
            wording.count(space.waiting),
            _method(space),
            f"{space.size_bytes / 1e6:,.0f} MB",
            "–" if space.build_seconds is None else f"{space.build_seconds:.1f} s",
        )
    return table


def _method(space: SearchSpace) -> str:
    method = "a graph (HNSW)" if space.method == "graph" else "comparing each"
    stage = _STAGES.get(space.state)
    return method if stage is None else f"{method}, {stage}"
