"""`triptych up`: runs everything on this machine until it is told to stop."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from triptych_gateway.cli.places import MEDIA_ROOTS_VARIABLE, place, places_in
from triptych_gateway.cli.plain_http import NO_AUTHORITIES
from triptych_gateway.cli.stack.data_directory import DATA_DIRECTORY_VARIABLE
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.stack import Stack, StackOptions
from triptych_gateway.cli.stack.waiting import wait_until_answered
from triptych_gateway.cli.terminal.text import printable

_HEALTH_SECONDS = 5.0
_HEALTH_INTERVAL_SECONDS = 0.1
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
        list[str] | None,
        typer.Option(
            help="A directory, or s3://bucket/prefix, whose photos may be read; repeat for more."
            f" {MEDIA_ROOTS_VARIABLE} adds to them."
        ),
    ] = None,
    *,
    reload: Annotated[bool, typer.Option("--reload", help="Restart a service when its Python files change.")] = False,
) -> None:
    """Start the databases, the services and the page on this machine, and keep them running until Ctrl-C."""
    options = StackOptions(
        data_directory=data_directory,
        http_port=port,
        media_roots=(*map(place, media_root or ()), *places_in(os.environ)),
        reload=reload,
    )
    raise typer.Exit(asyncio.run(serve(Stack(options))))


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

    stop_signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # nohup(1) ignores it, so that the stack outlives its terminal.
        stop_signals.append(signal.SIGHUP)
    for number in stop_signals:
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
        for number in stop_signals:
            loop.remove_signal_handler(number)
    if stack.failure is not None:
        typer.echo(str(stack.failure), err=True)
    return status


async def _welcome(stack: Stack) -> str:
    health = await _settled_health(f"{stack.urls.http}/health")
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


async def _settled_health(url: str) -> Mapping[str, Any]:
    """The gateway's answer once it has asked every service itself, or its last answer after 5 s."""
    health: Mapping[str, Any] = {}

    async with httpx.AsyncClient(verify=NO_AUTHORITIES, trust_env=False, timeout=_HEALTH_SECONDS) as client:

        async def settled() -> bool:
            nonlocal health
            try:
                health = (await client.get(url)).json()
            except (httpx.HTTPError, ValueError):
                # It was healthy a moment ago; where that has changed, the supervisor says so.
                return False
            return all(state.get("status") == "ok" for state in health.get("services", {}).values())

        await wait_until_answered(settled, deadline_seconds=_HEALTH_SECONDS, interval_seconds=_HEALTH_INTERVAL_SECONDS)
    return health


def model_lines(health: Mapping[str, Any]) -> list[str]:
    """One line for each service in the gateway's /health answer that has a model: which, on what, and its notice."""
    services = health.get("services")
    named = services.items() if isinstance(services, dict) else ()
    lines: list[str] = []
    for name, state in named:
        if not isinstance(state, dict) or not state.get("model"):
            continue
        qualities = ", ".join(str(state[key]) for key in ("pack", "device", "precision") if state.get(key))
        notice = f" – {state['notice']}" if state.get("notice") else ""
        lines.append(printable(f"{name}: {state['model']}{f' ({qualities})' if qualities else ''}{notice}"))
    return lines
