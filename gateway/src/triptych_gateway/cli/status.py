"""`triptych status`: all training sessions in a table, or one with its phases."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from triptych_gateway.cli.gateway_command import until_interrupted
from triptych_gateway.cli.options import DEFAULT_URL, GatewayUrl
from triptych_gateway.cli.rest.answers import Snapshot
from triptych_gateway.cli.rest.client import GatewayClient
from triptych_gateway.cli.rest.following import ConnectionLost, ConnectionRestored, FollowingOptions, follow, patiently
from triptych_gateway.cli.terminal.consoles import message_console, output_console
from triptych_gateway.cli.terminal.progress_view import progress_view, still_picture
from triptych_gateway.cli.terminal.session_table import SessionRow, session_table
from triptych_gateway.cli.terminal.wording import session_title

_UNDER_WAY = frozenset({"discovering", "running"})
_TOLD_BY_STATUS = frozenset({"pending", "completed"})


def status(
    session_id: Annotated[int | None, typer.Argument(metavar="ID", help="One session; all by default.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing until the session ends.")] = False,
    url: GatewayUrl = DEFAULT_URL,
) -> None:
    """Show training sessions, or one session's phases.

    Exits with 0; with 1 where the gateway cannot be asked or a watched session failed or was cancelled.
    """
    following = FollowingOptions()
    if session_id is not None:
        work = watch_session(url, session_id, following) if watch else show_session(url, session_id)
    else:
        work = watch_sessions(url, following) if watch else show_sessions(url)
    raise typer.Exit(asyncio.run(until_interrupted(work)))


async def show_session(url: str, session_id: int) -> int:
    """Prints one session's phases once."""
    console = output_console()
    async with GatewayClient(url) as client:
        session, snapshot = await client.session(session_id), await client.progress_unified(session_id)
    console.print(still_picture(snapshot, title=session_title(session)))
    return 0


async def watch_session(url: str, session_id: int, following: FollowingOptions) -> int:
    """Shows one session until it ends; 0 where it completed."""
    last: Snapshot | None = None
    async with GatewayClient(url) as client:
        session = await client.session(session_id)
        with progress_view(output_console(), title=session_title(session)) as view:
            async with aclosing(follow(client, session_id, options=following)) as updates:
                async for update in updates:
                    view.show(update)
                    if isinstance(update, Snapshot):
                        last = update
    return 0 if last is not None and last.overall_status == "completed" else 1


async def show_sessions(url: str) -> int:
    """Prints the newest sessions once."""
    async with GatewayClient(url) as client:
        rows, total = await _rows(client)
    console = output_console()
    _print_rows(console, rows, total)
    return 0


async def watch_sessions(url: str, following: FollowingOptions) -> int:
    """Shows the newest sessions until none of them is under way."""
    console = output_console()
    async with GatewayClient(url) as client:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                rows, _ = await patiently(lambda: _rows(client), options=following, tell=_tell)
                table = session_table(rows)
                if console.is_terminal:
                    live.update(table, refresh=True)
                if not any(row.session.status in _UNDER_WAY for row in rows):
                    live.update(table)
                    return 0
                await asyncio.sleep(following.poll_interval_seconds)


async def _rows(client: GatewayClient) -> tuple[list[SessionRow], int]:
    """The newest sessions, each with its progress where its status leaves that open; and how many there are in all."""
    page = await client.sessions()
    rows = [
        SessionRow(
            session=session,
            snapshot=None if session.status in _TOLD_BY_STATUS else await client.progress_unified(session.id),
        )
        for session in page.items
    ]
    return rows, page.total


def _print_rows(console: Console, rows: list[SessionRow], total: int) -> None:
    if not rows:
        console.print("No training sessions yet: `triptych train DIRECTORY` begins one.", soft_wrap=True)
        return
    table: Table = session_table(rows)
    console.print(table)
    if total > len(rows):
        console.print(f"… and {total - len(rows):,} older", style="bright_black")


def _tell(news: ConnectionLost | ConnectionRestored) -> None:
    message_console().print(Text(news.sentence(), style="yellow"), soft_wrap=True)
