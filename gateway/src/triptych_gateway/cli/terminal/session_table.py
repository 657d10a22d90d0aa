"""Training sessions as a table, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from triptych_gateway.cli.rest.answers import Session, Snapshot
from triptych_gateway.cli.terminal import wording
from triptych_gateway.cli.terminal.text import printable

_STATUS_STYLES: Mapping[str, str] = {
    "completed": "green",
    "running": "cyan",
    "paused": "yellow",
    "cancelled": "yellow",
    "failed": "red",
}


@dataclass(frozen=True, kw_only=True)
class SessionRow:
    """One session, with its progress where it was asked for."""

    session: Session
    snapshot: Snapshot | None


def session_table(rows: Sequence[SessionRow]) -> Table:
    """One row per session: how far it is, in words for those under way."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bright_black")
    table.add_column("ID", justify="right", no_wrap=True)
    table.add_column("Name", overflow="fold")
    table.add_column("Status", no_wrap=True)
    table.add_column("Progress", justify="right", no_wrap=True)
    table.add_column("Photos", justify="right", no_wrap=True)
    table.add_column("Failed", justify="right", no_wrap=True)
    table.add_column("Now", overflow="fold")
    for row in rows:
        session, snapshot = row.session, row.snapshot
        status = snapshot.overall_status if snapshot is not None else session.status
        table.add_row(
            str(session.id),
            Text(printable(session.name)),
            Text(printable(status), style=_STATUS_STYLES.get(status, "bright_black")),
            _percentage(row),
            wording.count(session.total_images),
            Text(wording.count(session.failed_images), style="red" if session.failed_images else "bright_black"),
            Text(_now(snapshot)),
        )
    return table


def _percentage(row: SessionRow) -> str:
    if row.snapshot is not None:
        return wording.percentage(row.snapshot.overall_progress.percentage)
    return wording.percentage(100.0) if row.session.status == "completed" else "–"


def _now(snapshot: Snapshot | None) -> str:
    if snapshot is None or snapshot.overall_status != "running":
        return ""
    left = wording.stall(snapshot) or wording.time_left(snapshot)
    late = wording.STALE if snapshot.stale else ""
    return ", ".join(filter(None, (wording.headline(snapshot), left, late)))
