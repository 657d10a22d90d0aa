"""`triptych up`: runs everything on this machine until it is told to stop."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from triptych_gateway.cli.stack.data_directory import DATA_DIRECTORY_VARIABLE
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.stack import Stack, StackOptions
from triptych_gateway.cli.terminal_text import printable

MEDIA_ROOTS_VARIABLE = "TRIPTYCH_MEDIA_ROOTS"

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HEALTH_SECONDS = 5.0
_FAILED = 1


def up(
    data_directory: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", help=f"Where everything is kept.  [default: {DATA_DIRECTORY_VARIABLE} or a standard]"
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of the page and of the REST interface.")] = 8000,
    media_root: Annotated[
        list[Path] | None,
        typer.Option(
            help=f"A directory whose photos may be read; repeat for more. {MEDIA_ROOTS_VARIABLE} adds to them."
        ),
    ] = None,
    *,
    reload: Annotated[bool, typer.Option("--reload", help="Restart a service when its Python files change.")] = False,
) -> None:
    """Start the databases, the services and the page on this machine, and keep them running until Ctrl-C."""
    options = StackOptions(
        data_directory=data_directory,
        http_port=port,
        media_roots=(*(media_root or ()), *media_roots_from(os.environ)),
        reload=reload,
    )
    raise typer.Exit(asyncio.run(serve(Stack(options))))


def media_roots_from(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The directories that TRIPTYCH_MEDIA_ROOTS names, separated as in PATH."""
    return tuple(Path(part) for part in environment.get(MEDIA_ROOTS_VARIABLE, "").split(os.pathsep) if part)


async def serve(stack: Stack) -> int:
    """Runs `stack` until a signal or a failure and returns the exit status: 0 after an orderly stop, 1 on failure.

    The first SIGINT, SIGTERM or SIGHUP stops everything in order; the next kills what is left.
    """
    loop = asyncio.get_running_loop()
    asked_to_stop = False

    def on_signal() -> None:
        nonlocal asked_to_stop
        if asked_to_stop:
            typer.echo("Killing what still runs.", err=True)
            stack.kill()
            return
        asked_to_stop = True
        typer.echo("Stopping. Once more to kill.", err=True)
        stack.request_stop()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        async with stack:
            typer.echo(await _welcome(stack))
            status = await stack.wait()
    except StackError as error:
        if asked_to_stop and stack.failure is None:
            return 0
        typer.echo(str(error), err=True)
        return _FAILED
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
    if stack.failure is not None:
        typer.echo(str(stack.failure), err=True)
    return status


async def _welcome(stack: Stack) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=_HEALTH_SECONDS) as client:
        try:
            health = (await client.get(f"{stack.urls.http}/health")).json()
        except (httpx.HTTPError, ValueError):
            # It was healthy a moment ago; if that has changed, the supervisor says so.
            health = {}
    lines = [
        "",
        f"  Triptych     {stack.urls.http}",
        f"  Data         {printable(str(stack.data_directory.root))}",
        *(f"  Media root   {printable(str(root))}" for root in stack.media_roots),
        *(f"  Model        {line}" for line in model_lines(health)),
        "",
        "  Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)


def model_lines(health: Mapping[str, Any]) -> list[str]:
    """One line for each service in the gateway's /health answer that has a model: which, on what, and its notice."""
    services = health.get("services")
    named = services.items() if isinstance(services, dict) else ()
    lines: list[str] = []
    for name, state in named:
        model = state.get("model") if isinstance(state, dict) else None
        if not isinstance(model, dict) or not model.get("id"):
            continue
        qualities = ", ".join(str(model[key]) for key in ("pack", "device") if model.get(key))
        notice = f" – {model['notice']}" if model.get("notice") else ""
        lines.append(printable(f"{name}: {model['id']}{f' ({qualities})' if qualities else ''}{notice}"))
    return lines
