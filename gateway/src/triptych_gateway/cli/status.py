"""`triptych status`: all training sessions in a table, or one with its phases."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import typer
from rich.text import Text

from triptych_gateway.cli.gateway_command import until_interrupted
from triptych_gateway.cli.options import DEFAULT_URL, GatewayUrl
from triptych_gateway.cli.rest.answers import Snapshot
from triptych_gateway.cli.rest.client import MAXIMUM_PAGE_SIZE, GatewayClient
from triptych_gateway.cli.rest.following import (
    ConnectionLost,
    ConnectionRestored,
    FollowingOptions,
    StreamGivenUp,
    follow,
    follow_all,
    patiently,
    with_silences,
)
from triptych_gateway.cli.terminal.consoles import message_console, output_console
from triptych_gateway.cli.terminal.progress_view import progress_view, still_picture
from triptych_gateway.cli.terminal.session_table import SessionRow, session_table
from triptych_gateway.cli.terminal.sessions_view import SessionsView, sessions_view
from triptych_gateway.cli.terminal.wording import session_title

_TOLD_BY_STATUS = frozenset({"pending", "completed"})
_LOOK_EVERY_SECONDS = 10.0
"""When nothing is heard for so long, sessions are asked for: one may have been deleted, which no stream tells."""


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
    if not rows:
        console.print("No training sessions yet: `triptych train DIRECTORY` begins one.", soft_wrap=True)
        return 0
    console.print(session_table(rows))
    if total > len(rows):
        console.print(f"… and {total - len(rows):,} older", style="bright_black")
    return 0


async def watch_sessions(url: str, following: FollowingOptions) -> int:
    """Shows the newest sessions, by the stream of all, until none of them is under way."""
    async with GatewayClient(url) as client:
        with sessions_view(output_console()) as view:
            await _look(client, view, following)
            updates = follow_all(client, since=view.updated_at, options=following)
            async with aclosing(with_silences(updates, seconds=_LOOK_EVERY_SECONDS)) as arriving:
                while view.is_any_under_way:
                    update = await anext(arriving, StreamGivenUp(reason="the stream is over"))
                    match update:
                        case Snapshot():
                            if not view.show(update) and not update.is_terminal:
                                await _look(client, view, following)
                        case ConnectionLost() | ConnectionRestored():
                            _tell(update)
                        case StreamGivenUp():
                            await asyncio.sleep(following.poll_interval_seconds)
                            await _look(client, view, following)
                        case None:
                            await _look(client, view, following)
    return 0


async def _look(client: GatewayClient, view: SessionsView, following: FollowingOptions) -> None:
    rows, _ = await patiently(lambda: _rows(client), options=following, tell=_tell)
    view.begin(rows)


async def _rows(client: GatewayClient) -> tuple[list[SessionRow], int]:
    """The newest sessions and all that run, each with its progress where its status leaves that open.

    And how many sessions there are in all.
    """
    page = await client.sessions()
    running = await client.sessions(status="running", page_size=MAXIMUM_PAGE_SIZE)
    found = {session.id: session for session in (*page.items, *running.items)}
    rows = [
        SessionRow(
            session=session,
            snapshot=None if session.status in _TOLD_BY_STATUS else await client.progress_unified(session.id),
        )
        for _, session in sorted(found.items(), reverse=True)
    ]
    return rows, page.total


def _tell(news: ConnectionLost | ConnectionRestored) -> None:
    message_console().print(Text(news.sentence(), style="yellow"), soft_wrap=True)
