"""`triptych audit`: who had what done."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from triptych_gateway.cli.gateway_command import until_interrupted
from triptych_gateway.cli.options import DEFAULT_URL, GatewayUrl
from triptych_gateway.cli.rest.answers import AuditEntry
from triptych_gateway.cli.rest.client import MAXIMUM_PAGE_SIZE, GatewayClient
from triptych_gateway.cli.terminal.consoles import output_console
from triptych_gateway.cli.terminal.text import printable


def audit(
    session_id: Annotated[int | None, typer.Option("--session", min=1, help="Only what was about it.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAXIMUM_PAGE_SIZE, help="How many, the latest first.")] = 20,
    url: GatewayUrl = DEFAULT_URL,
) -> None:
    """Show who had what done; where tokens are asked for, TRIPTYCH_TOKEN must be one of scope admin."""
    raise typer.Exit(asyncio.run(until_interrupted(show_audit(url, session_id=session_id, limit=limit))))


async def show_audit(url: str, *, session_id: int | None, limit: int) -> int:
    """Prints the latest entries."""
    async with GatewayClient(url) as client:
        page = await client.audit(session_id=session_id, page_size=limit)
    console = output_console()
    if not page.items:
        console.print("Nobody has had anything done yet.", soft_wrap=True)
        return 0
    console.print(audit_table(page.items))
    if page.has_more:
        console.print(f"… and {page.total - len(page.items):,} older", style="bright_black")
    return 0


def audit_table(entries: Sequence[AuditEntry]) -> Table:
    """A line for each; who is a token's name and number, or nobody's where none was asked for."""
    table = Table(box=None, pad_edge=False)
    for heading in ("when (UTC)", "who", "what", "answer"):
        table.add_column(heading)
    for entry in entries:
        who = f"{printable(entry.caller)} ({entry.token_id})" if entry.caller is not None else "–"
        what = f"{entry.method} {printable(entry.path)}"
        about = "" if entry.session_id is None or str(entry.session_id) in entry.path else f" → {entry.session_id}"
        table.add_row(
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            Text(who),
            Text(what + about, overflow="fold"),
            Text(str(entry.status), style="green" if entry.status < 400 else "red"),
        )
    return table
